//! Where things lie in a run directory.

use std::fs;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::{Error, Result};

use super::atomic::write_file;

/// A run directory and the names in it.
#[derive(Debug, Clone)]
pub struct RunDirectory {
    root: PathBuf,
}

impl RunDirectory {
    /// Makes a new run directory with the resolved config in it.
    ///
    /// # Errors
    /// [`Error::Run`] if there is a run in it already, [`Error::Io`] if it cannot be written.
    pub fn create(root: &Path, config: &Config) -> Result<Self> {
        Self::check_free(root)?;
        let run = Self { root: root.to_owned() };
        fs::create_dir_all(run.snapshots()).map_err(Error::io(run.snapshots(), "create"))?;
        run.save_config(config)?;
        Ok(run)
    }

    /// Checks that there is no run in a directory yet.
    ///
    /// # Errors
    /// [`Error::Run`] if there is.
    pub fn check_free(root: &Path) -> Result<()> {
        if !(Self { root: root.to_owned() }).exists() {
            return Ok(());
        }
        let message = "holds a run already; continue it with --resume, choose another place with --out, or delete it";
        Err(Error::run(root, message))
    }

    /// Waits until the directory can be seen from this rank; another has made it.
    ///
    /// # Errors
    /// [`Error::Run`] if it stays out of sight.
    pub fn shared(root: &Path) -> Result<Self> {
        let run = Self { root: root.to_owned() };
        // A network file system may take a while to show what another node has written.
        for _ in 0..50 {
            if run.exists() {
                return Ok(run);
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        Err(Error::run(
            root,
            "is not seen by this rank, though rank 0 has made it: run.out must be on a shared file system",
        ))
    }

    /// Opens a run directory.
    ///
    /// # Errors
    /// [`Error::Run`] if it is not one.
    pub fn open(root: &Path) -> Result<Self> {
        let run = Self { root: root.to_owned() };
        if !run.exists() {
            return Err(Error::run(
                root,
                "is not a run directory: it has no config.toml (expected what `isograd train` made)",
            ));
        }
        Ok(run)
    }

    /// Whether the directory holds a run.
    pub fn exists(&self) -> bool {
        self.config_file().exists()
    }

    /// Writes the resolved config.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save_config(&self, config: &Config) -> Result<()> {
        write_file(&self.config_file(), config.to_toml()?.as_bytes())
    }

    /// Replaces a file in the directory, all or nothing.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn write(&self, name: &str, content: &[u8]) -> Result<()> {
        write_file(&self.root.join(name), content)
    }

    /// The directory itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Its last part, which is what people call the run.
    pub fn name(&self) -> String {
        self.root
            .file_name()
            .map_or_else(|| self.root.display().to_string(), |name| name.to_string_lossy().into_owned())
    }

    /// `config.toml`, the resolved config.
    pub fn config_file(&self) -> PathBuf {
        self.root.join("config.toml")
    }

    /// `metrics.jsonl`.
    pub fn metrics_file(&self) -> PathBuf {
        self.root.join("metrics.jsonl")
    }

    /// `snapshots/`.
    pub fn snapshots(&self) -> PathBuf {
        self.root.join("snapshots")
    }

    /// The weights file in `best/`.
    pub fn best_weights(&self) -> PathBuf {
        self.root.join("best").join("model.safetensors")
    }

    /// The best weights, for a command that needs them.
    ///
    /// # Errors
    /// [`Error::Run`] if no validation was reached yet.
    pub fn trained(&self) -> Result<PathBuf> {
        let path = self.best_weights();
        if path.exists() {
            return Ok(path);
        }
        Err(Error::run(&self.root, "has no best/model.safetensors: the run has not reached its first validation"))
    }
}
