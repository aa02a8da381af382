//! The sections of the config file, key by key, with their defaults.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use isograd_data::audit::{Limits, Suspicious};
use isograd_data::{Budget, ColumnKey, Keys, Sampling, Source, SplitBy};
use isograd_engine::zero::Zero;
use isograd_engine::{OptimizerConfig, Recompute};
use isograd_models::{AnyArchitecture, Invalid, Registry};
use isograd_ops::device::DeviceName;
use isograd_ops::value::EdgeWork;
use isograd_structure::Units;
use isograd_tasks::{Forces, LossConfig, Task, TaskConfig};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::{Elements, ReferenceEnergies, freeze};
use crate::{Error, Result, ScheduleConfig};

/// A whole config file, complete and validated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// `fast`, `accurate` or `large`: a recipe for what the config does not say of model, loss and training. Reading a
    /// config puts it in place, and leaves nothing here.
    #[serde(default, skip_serializing)]
    pub preset: Option<String>,
    /// Where structures come from.
    pub data: DataConfig,
    /// What it is trained for.
    #[serde(default)]
    pub task: TaskConfig,
    /// What is trained.
    #[serde(default)]
    pub model: ModelConfig,
    /// What is minimised.
    #[serde(default)]
    pub loss: LossConfig,
    /// How it is trained.
    #[serde(default)]
    pub train: TrainConfig,
    /// Over how many processes.
    #[serde(default)]
    pub parallel: ParallelConfig,
    /// Where results go.
    #[serde(default)]
    pub run: RunConfig,
}

impl Config {
    /// The same on another device, as each of several ranks has one.
    #[must_use]
    pub fn on_device(mut self, device: DeviceName) -> Self {
        self.train.device = device;
        self
    }

    /// Decides which structures are held out.
    pub fn split_seed(&self) -> u64 {
        self.data.split_seed.unwrap_or(self.train.seed)
    }

    /// What is predicted, and how errors count.
    ///
    /// # Errors
    /// [`Error::Config`] naming the key of `[task]`.
    pub fn task(&self) -> Result<Task> {
        let wrong =
            |invalid: Invalid| Error::Config { place: format!("task.{}", invalid.key), message: invalid.message };
        let task = self.task.task(&self.loss).map_err(wrong)?;
        let conservative = self.task == TaskConfig::default() && self.model.forces() == Forces::Gradient;
        Ok(if conservative { task.with_stress(self.loss.stress_weight) } else { task })
    }
}

/// The `[data]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct DataConfig {
    /// Files of the only source, patterns such as `data/*.extxyz`, and folders with files, relative to the config file; several
    /// sources are given as `[[data.sources]]` instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub files: Vec<PathBuf>,
    /// Files of the only source that are held out as they are, named in the same way; then none of `files` is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub validation_files: Vec<PathBuf>,
    /// Label keys of the only source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub keys: Option<Keys>,
    /// Units of the only source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub units: Option<Units>,
    /// Reference energies of the only source: `fit`, `start`, `isolated_atoms`, or eV per atom of each element. Default `start`
    /// with `train.start_from`, where that model has such a source, else `fit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub references: Option<ReferenceEnergies>,
    /// What frames of the only source count in the loss, by the value of the key that `keys.weight` names, such as a
    /// `config_type`; `default` is for values that are not named.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub frame_weights: BTreeMap<String, f64>,
    /// Sources with their own files, keys, units and reference energies.
    pub sources: Vec<SourceConfig>,
    /// Share of the frames of each source without `validation_files` that is held out for validation; 0 holds nothing out.
    /// Default 0.1.
    pub validation_fraction: f64,
    /// Seed of the split and of `fraction`. Default `train.seed`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split_seed: Option<u64>,
    /// Share of what is left of each source that is trained on; a smaller share is part of a larger one. Default 1.
    pub fraction: f64,
    /// How often sources are drawn from: by `size` (each structure once in an epoch), by the `weights` of the sources, or with
    /// `{ temperature = T }` by their sizes to the power of 1 / T. Default `size`.
    pub sampling: Sampling,
    /// Where samples of stores are while training reads them: in their `files`, copied once into the memory of each `node`, or
    /// spread over the memory of the `ranks`, which exchange them ahead of each step. Default `files`.
    pub resident: Resident,
    /// W, with `resident = "ranks"`: the ranks that together hold each sample once; it divides the number of ranks. Default
    /// all ranks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub replica_width: Option<usize>,
    /// What stays on one side of the split: `frame` (each frame for itself), `formula` (frames of
    /// one chemical formula together), or the name of a comment key (frames of one value together).
    /// Default `frame`.
    pub split_by: SplitBy,
    /// `refuse` to train on suspicious frames, or `filter` them with a count. Default `refuse`.
    pub suspicious: Suspicious,
    /// `refuse` to train on structures that are held out as well, or `allow` it with a warning. Default `refuse`.
    pub leakage: Leakage,
    /// Two atoms closer than this (angstrom) make a frame suspicious. Default 0.4.
    pub shortest_distance: f64,
    /// A force component above this (eV/angstrom) makes a frame suspicious. Default 100.
    pub largest_force: f64,
}

impl Default for DataConfig {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            files: Vec::new(),
            validation_files: Vec::new(),
            keys: None,
            units: None,
            references: None,
            frame_weights: BTreeMap::new(),
            sources: Vec::new(),
            validation_fraction: 0.1,
            split_seed: None,
            fraction: 1.0,
            sampling: Sampling::Size,
            resident: Resident::Files,
            replica_width: None,
            split_by: SplitBy::Frame,
            suspicious: Suspicious::Refuse,
            leakage: Leakage::Refuse,
            shortest_distance: limits.shortest_distance,
            largest_force: limits.largest_force,
        }
    }
}

impl DataConfig {
    /// The limits beyond which a frame is suspicious.
    pub fn limits(&self) -> Limits {
        Limits { shortest_distance: self.shortest_distance, largest_force: self.largest_force }
    }
}

/// Where samples of stores are while training reads them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Resident {
    /// On the disk, from where a rank reads its own.
    #[default]
    Files,
    /// In the memory of each machine, once for all its ranks.
    Node,
    /// In the memory of groups of ranks, each of which holds a part.
    Ranks,
}

/// What to do where structures are held out and trained on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Leakage {
    /// Stop before training, and name one of them.
    #[default]
    Refuse,
    /// Warn.
    Allow,
}

/// One entry of `[[data.sources]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Name in tables and errors.
    pub name: String,
    /// Structure files, patterns and folders, relative to the config file.
    pub files: Vec<PathBuf>,
    /// Files that are held out as they are, named in the same way; then none of `files` is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub validation_files: Vec<PathBuf>,
    /// Where labels stand in the files.
    #[serde(default)]
    pub keys: Keys,
    /// What the numbers mean.
    #[serde(default)]
    pub units: Units,
    /// Reference energies: `fit` (to the training part), `start`, `isolated_atoms`, or eV per atom of each element. Default
    /// `start` with `train.start_from`, where that model has such a source, else `fit`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub references: Option<ReferenceEnergies>,
    /// What its frames count in the loss, by the value of the key that `keys.weight` names, such as a `config_type`; `default`
    /// is for values that are not named.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub frame_weights: BTreeMap<String, f64>,
    /// How often it is drawn from, in relation to the others, with `data.sampling = "weights"`. Default 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub weight: f64,
    /// What its structures count in the loss, in relation to those of others. Default 1.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub loss_weight: f64,
}

fn one() -> f64 {
    1.0
}

fn is_one(weight: &f64) -> bool {
    *weight == 1.0
}

impl SourceConfig {
    /// How its structures are read; `split_by` may add a grouping key, a task asks for columns.
    pub fn source(&self, split_by: &SplitBy, columns: Vec<ColumnKey>) -> Source {
        let mut keys = self.keys.clone();
        if let SplitBy::Key(key) = split_by {
            keys.group = Some(key.clone());
        }
        Source { keys, units: self.units, columns, weights: self.frame_weights.clone() }
    }
}

/// The architecture where none is named.
const DEFAULT_KIND: &str = "egnn";

/// The architecture that the preset `paper` is of.
const PAPER_KIND: &str = "egnn";

/// A named set of hyper-parameters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// For potentials: the defaults of each kind; of `egnn` width 128, 4 layers, 16 Bessel functions, polynomial envelope.
    #[default]
    Atomistic,
    /// The sizes of the scaling study arXiv:2504.08112, of `egnn` only: width 50, 3 layers, squared distance, cosine
    /// envelope, coordinate updates.
    Paper,
}

/// The `[model]` section. Beside these keys it has those of its kind; what is left out comes from the preset.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ModelConfig {
    /// The architecture: `egnn`, `gat`, `gcn`, `painn`, `schnet`, `study`, or one of your own. Default `egnn`.
    pub kind: String,
    /// `atomistic` or `paper`. Default `atomistic`.
    pub preset: Preset,
    /// `gradient` (minus the derivative of the energy: conservative), `direct` or `displacement`. Default `gradient` of
    /// potentials, `direct` of other tasks and of kinds that read positions.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forces: Option<Forces>,
    /// `auto` (those in the data) or a list of symbols. Default `auto`.
    pub elements: Elements,
    /// `shared` (one head) or `per_source`. Default `shared`.
    pub heads: HeadSharing,
    /// The hyper-parameters of the kind.
    #[serde(flatten)]
    pub options: Map<String, Json>,
}

impl Default for ModelConfig {
    fn default() -> Self {
        Self {
            kind: DEFAULT_KIND.into(),
            preset: Preset::default(),
            forces: None,
            elements: Elements::default(),
            heads: HeadSharing::default(),
            options: Map::new(),
        }
    }
}

impl ModelConfig {
    /// Where forces come from; direct, where that is left open.
    pub fn forces(&self) -> Forces {
        self.forces.unwrap_or_default()
    }

    /// The architecture with its hyper-parameters.
    ///
    /// # Errors
    /// [`Error::Config`] for an unknown kind or key, or a value of the wrong type.
    pub fn architecture(&self, registry: &Registry) -> Result<Arc<dyn AnyArchitecture>> {
        registry.make(&self.kind, Json::Object(self.options.clone())).map_err(Error::model)
    }

    /// Fills in what the preset decides.
    pub(super) fn fill(&mut self, registry: &Registry) -> Result<(), Invalid> {
        let mut preset = match registry.defaults(&self.kind) {
            Some(Json::Object(defaults)) => defaults,
            // The registry says what kinds there are.
            _ => return registry.make(&self.kind, Json::Null).map(|_| ()),
        };
        if self.preset == Preset::Paper {
            if self.kind != PAPER_KIND {
                return Err(Invalid::new("preset", format!("is \"paper\", which is of kind \"{PAPER_KIND}\"")));
            }
            let basis = serde_json::json!({ "kind": "squared_distance" });
            let paper = [
                ("width", 50.into()),
                ("layers", 3.into()),
                ("basis", basis),
                ("envelope", "cosine".into()),
                ("coordinate_updates", true.into()),
            ];
            preset.extend(paper.map(|(key, value)| (key.to_owned(), value)));
        }
        preset.extend(std::mem::take(&mut self.options));
        // Made once, so that every number is written as its type is: 5 as 5.0 where it is one of many.
        let made = registry.make(&self.kind, Json::Object(preset))?;
        if let Json::Object(options) = made.options() {
            self.options = options;
        }
        Ok(())
    }
}

/// Whether sources share a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HeadSharing {
    /// One head for all sources.
    #[default]
    Shared,
    /// A head for each source over the shared trunk.
    PerSource,
}

/// What happens to a structure that is over the batch budget on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OverBudget {
    /// It becomes a batch of its own, with a warning.
    #[default]
    Warn,
    /// Training is refused.
    Error,
}

/// The `[train]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrainConfig {
    /// Passes over the training data. Default 100; without a limit if only `seconds` is given.
    pub epochs: Option<usize>,
    /// Wall-clock budget of training in seconds; the schedule follows time and training ends with
    /// it. Default: none.
    pub seconds: Option<f64>,
    /// Most graphs in a batch, which all ranks share. Default 32.
    pub batch_graphs: usize,
    /// Most atoms in a batch. Default 4096.
    pub batch_atoms: usize,
    /// Most edges in a batch. Default 131072.
    pub batch_edges: usize,
    /// `warn` or `error` for a structure over the budget on its own. Default `warn`.
    pub over_budget: OverBudget,
    /// Batches whose gradients are added before a step. Default 1.
    pub accumulate: usize,
    /// Parts that a batch is cut into, whose gradients are computed side by side and added. Default 1, which is as fast for
    /// most models: walks of several threads wait for each other in Burn's autodiff.
    pub parts: usize,
    /// `fused`, the backend's own operation on edges, or `composed` of plain tensor operations: the same
    /// up to rounding, slower and larger. Default `fused`.
    pub message: EdgeWork,
    /// Peak learning rate. Default 1e-3.
    pub learning_rate: f64,
    /// How the learning rate changes.
    pub schedule: ScheduleConfig,
    /// AdamW or Muon.
    pub optimizer: OptimizerConfig,
    /// Largest global norm of the gradient; 0 turns clipping off. Default 10.
    pub clip_norm: f64,
    /// Decay of the exponential moving average of the weights; 0 turns it off. Default 0.999.
    pub ema_decay: f64,
    /// Epochs between validations. Default 1.
    pub validate_every: usize,
    /// Validations without improvement after which training ends; 0 means never. Default 0.
    pub early_stopping: usize,
    /// Seed of weights, split and order. Default 0.
    pub seed: u64,
    /// How many models are trained one after the other, a committee: with this seed and those that follow, but the same
    /// split. Default 1.
    pub seeds: usize,
    /// `cpu`, `wgpu`, `vulkan`, `metal`, `cuda`, with an optional index. Default `cpu`.
    pub device: DeviceName,
    /// Background threads that prepare batches. Default 1.
    pub workers: usize,
    /// A run directory or a file of weights to begin with, relative to the config file. Where `[model]` names no kind, the model
    /// is that one's too. Default: weights are drawn from the seed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start_from: Option<PathBuf>,
    /// Parameters that stay as they begin, by the beginning of their names: `embedding`, `layers.0-2`. Default none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub freeze: Vec<String>,
}

impl Default for TrainConfig {
    fn default() -> Self {
        Self {
            epochs: None,
            seconds: None,
            batch_graphs: 32,
            batch_atoms: 4096,
            batch_edges: 1 << 17,
            over_budget: OverBudget::Warn,
            accumulate: 1,
            parts: 1,
            message: EdgeWork::Fused,
            learning_rate: 1e-3,
            schedule: ScheduleConfig::default(),
            optimizer: OptimizerConfig::default(),
            clip_norm: 10.0,
            ema_decay: 0.999,
            validate_every: 1,
            early_stopping: 0,
            seed: 0,
            seeds: 1,
            device: DeviceName::Cpu,
            workers: 1,
            start_from: None,
            freeze: Vec::new(),
        }
    }
}

impl TrainConfig {
    /// Whether a parameter stays as it begins.
    pub fn is_frozen(&self, path: &str) -> bool {
        freeze::is_frozen(&self.freeze, path)
    }

    /// What one batch may hold.
    pub fn budget(&self) -> Budget {
        Budget { graphs: self.batch_graphs, atoms: self.batch_atoms, edges: self.batch_edges }
    }
}

/// The `[parallel]` section.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ParallelConfig {
    /// Number of ranks among which the work is shared: what a launcher such as mpirun has started, else
    /// threads of this process. Default 1.
    pub ranks: usize,
    /// ZeRO level: what ranks own a piece of instead of all. 0 nothing, 1 optimizer states and averages, 2
    /// gradients as well, 3 weights as well (which saves them where `recompute` is not `none`). Default 0.
    pub zero: Zero,
    /// Seconds that a rank waits for another before it gives it up. Default 1800.
    pub timeout: u64,
    /// Which activations are computed again on the way back instead of having been kept: `none`, `layer`
    /// (those of every layer but the last), `every:K` (those of runs of K layers) or `auto:BYTES` (as few as
    /// the memory plan says it takes to stay within, as in `auto:16GB`). Default `none`.
    pub recompute: Recompute,
}

impl Default for ParallelConfig {
    fn default() -> Self {
        Self { ranks: 1, zero: Zero::Off, timeout: 1800, recompute: Recompute::None }
    }
}

/// A form of the log beside `metrics.jsonl`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// `metrics.csv`, for spreadsheets.
    Csv,
    /// `events.out.tfevents.*`, for TensorBoard.
    Tensorboard,
}

/// The `[run]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RunConfig {
    /// The run directory. Default `runs/` and the name of the config file.
    pub out: PathBuf,
    /// Steps between snapshots, beside the one at each validation; 0 means none in between.
    /// Default 1000.
    pub snapshot_every: usize,
    /// How many snapshots are kept, beside the best weights. Default 2.
    pub keep: usize,
    /// Steps between lines of `metrics.jsonl`, beside the one at each validation. Default 50.
    pub log_every: usize,
    /// Forms of the log beside `metrics.jsonl`: `csv`, `tensorboard`. Default none.
    pub log: Vec<LogFormat>,
}

impl Default for RunConfig {
    fn default() -> Self {
        Self { out: PathBuf::new(), snapshot_every: 1000, keep: 2, log_every: 50, log: Vec::new() }
    }
}
