//! Snapshots: everything that training needs to go on as if it had never stopped.
//!
//! `snapshots/step-N/` holds `weights.safetensors` (the raw weights), `training.safetensors`
//! (`first.*` and `second.*` moments, `average.*`) and `state.json`.

use std::fs;
use std::path::{Path, PathBuf};

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use serde::{Deserialize, Serialize};

use super::weights::{TensorFile, save};
use super::{Best, atomic};
use crate::model::Parameter;
use crate::train::Plateau;
use crate::{Error, Result};

/// The version of the layout of snapshots; raised when an older program could not read a newer one.
const FORMAT: u32 = 1;

/// The numbers in a snapshot.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct State {
    /// Layout of the snapshot.
    format: u32,
    /// Hash of what decides the course of training, see `Config::training_hash`.
    pub config: String,
    /// Steps made.
    pub step: usize,
    /// Epoch, from 0. With the seed this is the whole state of the sampler's generator.
    pub epoch: usize,
    /// Batches of the epoch already trained on.
    pub batch: usize,
    /// Seconds trained.
    pub seconds: f64,
    /// Seconds of it spent waiting for data.
    pub waited: f64,
    /// Edges trained on.
    pub edges: u64,
    /// What a plateau schedule remembers.
    pub plateau: Plateau,
    /// The best validation so far.
    pub best: Option<Best>,
    /// Validations since then.
    pub stale: usize,
    /// Sum of the losses since the last line of the log.
    pub loss_sum: f64,
    /// How many losses that are.
    pub loss_count: usize,
    /// Steps of the optimizer.
    optimizer_steps: usize,
}

impl State {
    /// The state before the first step, of a run whose config has this hash.
    pub fn new(config: String) -> Self {
        Self { config, ..Default::default() }
    }
}

/// A snapshot in memory, its tensors in the order of [`crate::model::read`].
pub struct Snapshot<B: Backend> {
    /// The numbers.
    pub state: State,
    /// Raw weights.
    pub weights: Vec<Tensor<B, 1>>,
    /// Steps and moments of the optimizer.
    pub optimizer: Option<(usize, Vec<[Tensor<B, 1>; 2]>)>,
    /// Averaged weights.
    pub average: Vec<Tensor<B, 1>>,
}

impl<B: Backend> Snapshot<B> {
    /// Writes the snapshot as `snapshots/step-N`, all or nothing, and then removes all but the last
    /// `keep`. `parameters` give names and shapes.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn save(mut self, snapshots: &Path, parameters: &[Parameter<B>], keep: usize) -> Result<PathBuf> {
        let (steps, moments) = self.optimizer.take().unwrap_or_default();
        let (first, second): (Vec<_>, Vec<_>) = moments.into_iter().map(|[first, second]| (first, second)).unzip();
        self.state.optimizer_steps = steps;
        self.state.format = FORMAT;
        let state = serde_json::to_vec_pretty(&self.state).map_err(|error| Error::Internal(error.to_string()))?;
        let path = snapshots.join(format!("step-{}", self.state.step));
        atomic::write_folder(&path, |folder| {
            save(&folder.join("weights.safetensors"), parameters, &[("", &self.weights)], None)?;
            let training = [("average.", self.average.as_slice()), ("first.", &first), ("second.", &second)];
            save(&folder.join("training.safetensors"), parameters, &training, None)?;
            atomic::write_file(&folder.join("state.json"), &state)
        })?;
        let all = list(snapshots)?;
        for (_, old) in &all[..all.len().saturating_sub(keep)] {
            fs::remove_dir_all(old).map_err(Error::io(old, "remove"))?;
        }
        Ok(path)
    }

    /// Reads the latest snapshot, if there is any; `parameters` give names, shapes and the device.
    ///
    /// # Errors
    /// [`Error::Run`] if it is damaged, was made by a newer program, or does not fit the config,
    /// whose hash is `config`.
    pub fn load_latest(snapshots: &Path, parameters: &[Parameter<B>], config: &str) -> Result<Option<Self>> {
        let Some((_, folder)) = list(snapshots)?.pop() else { return Ok(None) };
        let path = folder.join("state.json");
        let text = fs::read_to_string(&path).map_err(Error::io(&path, "read"))?;
        let state: State =
            serde_json::from_str(&text).map_err(|error| Error::run(&path, format!("cannot be read: {error}")))?;
        if state.format != FORMAT {
            let message = format!("has snapshot format {}, this program knows {FORMAT}", state.format);
            return Err(Error::run(&path, message));
        }
        if state.config != config {
            return Err(Error::run(
                &folder,
                "was made with other settings in [data], [model], [loss] or [train]; go on with the run's own config.toml, \
                 or start a new run with --out",
            ));
        }
        let weights = TensorFile::open(&folder.join("weights.safetensors"))?.values("", parameters)?;
        let mut file = TensorFile::open(&folder.join("training.safetensors"))?;
        let mut read = |prefix: &str| if file.has(prefix) { file.values(prefix, parameters) } else { Ok(Vec::new()) };
        let average = read("average.")?;
        let moments: Vec<[Tensor<B, 1>; 2]> =
            read("first.")?.into_iter().zip(read("second.")?).map(|(first, second)| [first, second]).collect();
        let optimizer = (!moments.is_empty()).then_some((state.optimizer_steps, moments));
        Ok(Some(Self { state, weights, optimizer, average }))
    }
}

/// Complete snapshots, oldest first.
fn list(snapshots: &Path) -> Result<Vec<(usize, PathBuf)>> {
    if !snapshots.exists() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(snapshots).map_err(Error::io(snapshots, "read"))? {
        let path = entry.map_err(Error::io(snapshots, "read"))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(step) = name.strip_prefix("step-").and_then(|step| step.parse().ok()) {
            found.push((step, path));
        }
    }
    found.sort_unstable();
    Ok(found)
}
