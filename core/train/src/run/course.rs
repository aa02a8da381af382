//! What decides the course of a run, by which its snapshots are told from those of other runs.

use serde::{Deserialize, Serialize};

/// What decides the course of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Course {
    /// Hash of the settings, see [`Config::training_hash`](crate::config::Config::training_hash).
    pub settings: String,
    /// Hash of the samples to train on and of those held out, wherever they lie.
    pub data: String,
}
