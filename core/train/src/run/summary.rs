//! `summary.json`: the outcome of a run in a few numbers; its keys are a contract with scripts.

use isograd_engine::zero::HeldBytes;
use isograd_equivariance::Worst;
use isograd_tasks::{BySource, Metrics};
use serde::{Deserialize, Serialize};

use crate::StartReport;

/// The best validation of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Steps made by then.
    pub step: usize,
    /// What models are compared by, see [`Task::score`](isograd_tasks::Task::score); `None` where nothing is held out.
    pub score: Option<f64>,
    /// The errors.
    pub validation: Metrics,
    /// The errors on the structures of each source, where there are several.
    #[serde(skip_serializing_if = "BySource::is_empty", default)]
    pub validation_by_source: BySource,
}

/// How training went.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TrainSummary {
    /// Seconds trained, over all sessions.
    pub seconds: f64,
    /// Steps made.
    pub steps: usize,
    /// Epochs completed.
    pub epochs: usize,
    /// Mean edges per second.
    pub edges_per_second: f64,
    /// Most bytes held.
    pub peak_bytes: Option<u64>,
    /// What was planned for; `None` where the model cannot tell.
    pub planned_bytes: Option<u64>,
    /// Share of the time spent waiting for data.
    pub data_wait_share: f64,
    /// What each rank did in the last session, by rank.
    pub ranks: Vec<RankSummary>,
}

/// What one rank did in the last session.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RankSummary {
    /// Where it ran.
    pub device: String,
    /// Its own edges per second.
    pub edges_per_second: f64,
    /// Most bytes held; ranks that are threads on the CPU count together.
    pub peak_bytes: Option<u64>,
    /// Bytes of the tensors that it holds between steps.
    pub held: HeldBytes,
    /// Share of the time in which it had nothing to do but wait for other ranks.
    pub communication_share: f64,
    /// Share of the time in which communication was under way, beside computing or not.
    pub communication_busy_share: f64,
    /// Bytes sent to other ranks.
    pub sent_bytes: u64,
}

/// The whole of `summary.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Summary {
    /// The best validation.
    pub best: Best,
    /// Errors of predicting reference energies and zero forces.
    pub baseline: Metrics,
    /// How training went.
    pub train: TrainSummary,
    /// Scalars in the model.
    pub parameters: usize,
    /// Where it was trained.
    pub device: String,
    /// What the equivariance harness found.
    pub equivariance: EquivarianceSummary,
    /// What was made of the model that training started from, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start: Option<StartReport>,
    /// What the user was warned of.
    #[serde(default)]
    pub warnings: Vec<String>,
}

/// What the equivariance harness found, in short.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EquivarianceSummary {
    /// Whether everything passed.
    pub passed: bool,
    /// The property and output closest to failing, or furthest beyond.
    pub worst: Option<Worst>,
}
