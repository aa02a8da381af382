//! What a run directory tells of its run, whether that is over or not.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::{Best, LogLine, MetricsLog, RunDirectory, Start, Summary, latest_state};
use crate::config::{Config, settings_of};
use crate::{Error, Result};

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum RunState {
    /// It has come to its end.
    Finished,
    /// A process on this machine, or one that shares its locks, is training it.
    Running,
    /// It was stopped, or is trained where that cannot be seen.
    Unfinished,
}

/// A run as its directory tells of it.
#[derive(Debug)]
pub struct Record {
    /// Where it lies.
    pub directory: RunDirectory,
    /// How far it is.
    pub state: RunState,
    /// Its config.
    pub config: Config,
    /// Every key of the config by its full name, as in `train.seed`.
    pub settings: BTreeMap<String, Json>,
    /// What was known before the first step; `None` of a run that an older version has begun.
    pub start: Option<Start>,
    /// The lines of its log.
    pub lines: Vec<LogLine>,
    /// The best validation so far.
    pub best: Option<Best>,
    /// The outcome of a run that is finished.
    pub summary: Option<Summary>,
}

impl Record {
    /// Reads a run directory, in which nothing is changed.
    ///
    /// # Errors
    /// [`Error::Run`] if it is no run directory, or a file in it is damaged; [`Error::Io`] if one cannot be read.
    pub fn read(root: &Path) -> Result<Self> {
        let directory = RunDirectory::open(root)?;
        let table = directory.settings()?;
        let settings = settings_of(&table);
        let damaged =
            |error: toml::de::Error| Error::run(directory.config_file(), format!("is no config of a run: {error}"));
        let config: Config = table.try_into().map_err(damaged)?;
        let start: Option<Start> = read_json(&directory.root().join("start.json"))?;
        let lines = match directory.metrics_file().exists() {
            true => MetricsLog::read(&directory.metrics_file())?,
            false => Vec::new(),
        };
        let steps = lines.last().map_or(0, |line| line.step);
        let summary: Option<Summary> = read_json(&directory.root().join("summary.json"))?;
        // A run that goes on has the summary of when it was over before.
        let summary = summary.filter(|summary| summary.train.steps >= steps);
        let state = match &summary {
            Some(_) => RunState::Finished,
            None if directory.is_locked() => RunState::Running,
            None => RunState::Unfinished,
        };
        let best = match &summary {
            Some(summary) => Some(summary.best.clone()),
            None => latest_state(&directory.snapshots()).and_then(|state| state.best),
        };
        Ok(Self { directory, state, config, settings, start, lines, best, summary })
    }
}

/// The content of a file; `None` where there is no such file.
fn read_json<T: for<'a> Deserialize<'a>>(path: &Path) -> Result<Option<T>> {
    let text = match std::fs::read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        text => text.map_err(Error::io(path, "read"))?,
    };
    let read = serde_json::from_slice(&text);
    read.map(Some).map_err(|error| Error::run(path, format!("cannot be read: {error}; remove it to go without")))
}
