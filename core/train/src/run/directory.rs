//! Where things lie in a run directory.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::tensor_file::{best_weights, weights_file};
use crate::{Error, Result};

use super::Start;
use super::atomic::write_file;

/// Keeps other processes from training in a directory, as long as it lives.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// A run directory and the names in it.
#[derive(Debug, Clone)]
pub struct RunDirectory {
    root: PathBuf,
}

impl RunDirectory {
    /// Keeps other processes from training in a directory, which is made where there is none, as long as the lock lives. A
    /// crash leaves nothing of it but an empty file.
    ///
    /// # Errors
    /// [`Error::Run`] where another process trains there, [`Error::Io`] where it cannot be written to.
    pub fn lock(root: &Path) -> Result<Lock> {
        fs::create_dir_all(root).map_err(Error::io(root, "create"))?;
        let path = root.join("lock");
        let file = File::create(&path).map_err(Error::io(&path, "write"))?;
        match file.try_lock() {
            Ok(()) => Ok(Lock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(Error::run(
                root,
                "is being trained in by another process; wait for it, or choose another place with --out",
            )),
            // Some file systems of clusters have no locks.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(Lock { _file: file }),
            Err(TryLockError::Error(error)) => Err(Error::io(&path, "lock")(error)),
        }
    }

    /// Whether another process trains in the directory, as far as this machine can see.
    pub fn is_locked(&self) -> bool {
        let lock = File::open(self.root.join("lock"));
        lock.is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

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

    /// Checks that there is no run in a directory yet, or one that has not come as far as a snapshot.
    ///
    /// # Errors
    /// [`Error::Run`] if there is.
    pub fn check_free(root: &Path) -> Result<()> {
        let run = Self { root: root.to_owned() };
        let snapshots = fs::read_dir(run.snapshots()).is_ok_and(|mut all| all.next().is_some());
        if !run.exists() || !snapshots && !run.best_weights().exists() {
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

    /// Writes the resolved config, which names structure files wherever it is read from.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save_config(&self, config: &Config) -> Result<()> {
        write_file(&self.config_file(), config.with_full_names()?.to_toml()?.as_bytes())
    }

    /// The settings that the directory has, as they are written.
    ///
    /// # Errors
    /// [`Error::Io`] where they cannot be read, [`Error::Run`] where they are damaged.
    pub fn settings(&self) -> Result<toml::Table> {
        let path = self.config_file();
        let text = std::fs::read_to_string(&path).map_err(Error::io(&path, "read"))?;
        toml::from_str(&text).map_err(|error| Error::run(&path, format!("is damaged: {}", error.message())))
    }

    /// Writes what is known before the first step.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save_start(&self, start: &Start) -> Result<()> {
        let json = serde_json::to_vec_pretty(start).map_err(|error| Error::Internal(error.to_string()))?;
        self.write("start.json", &json)
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
        best_weights(&self.root)
    }

    /// The best weights, for a command that needs them.
    ///
    /// # Errors
    /// [`Error::Run`] if no validation was reached yet.
    pub fn trained(&self) -> Result<PathBuf> {
        weights_file(&self.root)
    }
}
