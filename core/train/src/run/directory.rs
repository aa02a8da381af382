//! Where things lie in a run directory.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::config::Config;
use crate::tensor_file::{best_weights, weights_file};
use crate::{Error, Result};

use super::Start;
use super::atomic::write_file;

/// The folder of a committee's members.
const MEMBERS: &str = "members";

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

    /// Makes the directory of a committee, where there is none, with the resolved config in it.
    ///
    /// # Errors
    /// [`Error::Io`] if it cannot be written.
    pub fn create_committee(root: &Path, config: &Config) -> Result<()> {
        fs::create_dir_all(root).map_err(Error::io(root, "create"))?;
        Self { root: root.to_owned() }.save_config(config)
    }

    /// Checks that there is no run in a directory yet, or one that has not come as far as a snapshot.
    ///
    /// # Errors
    /// [`Error::Run`] if there is.
    pub fn check_free(root: &Path) -> Result<()> {
        let run = Self { root: root.to_owned() };
        if !run.has_begun() && !run.has_begun_committee() {
            return Ok(());
        }
        let message = "holds a run already; continue it with --resume, choose another place with --out, or delete it";
        Err(Error::run(root, message))
    }

    /// Checks that a run that is to go on in a directory is what has been begun there: one model, or a committee.
    ///
    /// # Errors
    /// [`Error::Run`] if it is not.
    pub fn check_kind(root: &Path, is_committee: bool) -> Result<()> {
        let run = Self { root: root.to_owned() };
        let message = match is_committee {
            true if run.has_begun() => "holds the run of one model, which a committee of train.seeds cannot go on from",
            false if run.has_begun_committee() => {
                "holds a committee, which a run with train.seeds = 1 cannot go on from"
            }
            _ => return Ok(()),
        };
        Err(Error::run(root, format!("{message}; choose another place with --out")))
    }

    /// Whether there is a run in it that has come as far as a snapshot.
    fn has_begun(&self) -> bool {
        let snapshots = || fs::read_dir(self.snapshots()).is_ok_and(|mut all| all.next().is_some());
        self.exists() && (snapshots() || self.best_weights().exists())
    }

    /// Whether there is a committee in it of which a member has come as far as a snapshot.
    fn has_begun_committee(&self) -> bool {
        let members = fs::read_dir(self.root.join(MEMBERS)).into_iter().flatten().flatten();
        members.map(|entry| Self { root: entry.path() }).any(|member| member.has_begun())
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

    /// Where the run of a member of a committee lies, from 1: `members/1`.
    pub fn member(root: &Path, number: usize) -> PathBuf {
        root.join(MEMBERS).join(number.to_string())
    }

    /// The runs of a committee's members, all of which have weights; the run itself where it is of one model.
    ///
    /// # Errors
    /// [`Error::Run`] where a member has no weights yet, or the settings are damaged; [`Error::Io`] where they cannot be read.
    pub fn members(&self) -> Result<Vec<Self>> {
        let settings = self.settings()?;
        let seeds = settings.get("train").and_then(|train| train.get("seeds")).and_then(toml::Value::as_integer);
        let seeds = seeds.and_then(|seeds| usize::try_from(seeds).ok()).unwrap_or(1);
        if seeds <= 1 {
            return Ok(vec![self.clone()]);
        }
        let members: Vec<Self> = (1..=seeds).map(|number| Self { root: Self::member(&self.root, number) }).collect();
        let trained = members.iter().filter(|member| member.best_weights().exists()).count();
        if trained < seeds {
            let message = format!("has weights of {trained} of {seeds} members: train on with --resume");
            return Err(Error::run(&self.root, message));
        }
        Ok(members)
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
        if !self.best_weights().exists() && Self::member(&self.root, 1).exists() {
            let member = Self::member(&self.root, 1);
            let message =
                format!("holds a committee, of which one model is needed here; name one, as {}", member.display());
            return Err(Error::run(&self.root, message));
        }
        weights_file(&self.root)
    }
}
