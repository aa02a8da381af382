//! What a model is trained for.

use std::fmt::Debug;

use isograd_structure::Structure;

use crate::{Metric, Metrics, Target, Term};

/// What a model is trained for: targets, labels, how errors count.
pub trait Task: Debug + Send + Sync {
    /// What is predicted.
    fn targets(&self) -> &[Target];

    /// The labels of a structure of a source, one entry per target, `None` where there is none. They are what the model
    /// is to predict: what is known without it, as reference energies are, is taken off.
    fn labels(&self, structure: &Structure, source: usize) -> Vec<Option<Vec<f64>>>;

    /// How many numbers the labels of a structure have, target by target; zero where there is none.
    fn label_sizes(&self, structure: &Structure) -> Vec<usize>;

    /// Turns what the model says, one entry per target, into what a user wants to know: adds what was taken off labels.
    fn complete(&self, structure: &Structure, source: usize, prediction: &mut [Vec<f64>]);

    /// The terms of the loss.
    fn terms(&self) -> Vec<Term>;

    /// What is reported.
    fn metrics(&self) -> Vec<Metric>;

    /// One number to compare models by, lower is better.
    fn score(&self, metrics: &Metrics) -> f64;
}
