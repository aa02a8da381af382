//! `start.json`: what is known of a run before its first step.

use serde::{Deserialize, Serialize};

/// What is known of a run before its first step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Start {
    /// Scalars in the model.
    pub parameters: usize,
    /// What is trained on.
    pub training: SampleSet,
    /// What is held out.
    pub validation: SampleSet,
}

/// Samples, as far as it takes to tell them from others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleSet {
    /// How many there are.
    pub structures: usize,
    /// Hash of all that training sees of them, labels included.
    pub hash: String,
}
