//! Forward through stages whose weights may have to be fetched.

use burn::tensor::backend::Backend;

use super::{Flow, Stage, Stages};
use crate::Result;

/// What flows out of the last stage.
///
/// # Errors
/// Where the weights of a stage cannot be had.
pub fn forward<B: Backend, S: Stages<B>>(stages: &S, graph: &<S::Stage as Stage<B>>::Graph) -> Result<Flow<B>> {
    stages.begin((0..stages.count()).collect());
    (0..stages.count()).try_fold(Flow::new(), |flow, index| Ok(stages.stage(index)?.forward(graph, flow)))
}

/// Asks for the same stages in the same order, and does nothing with them. For a rank that has nothing to predict
/// while others have.
///
/// # Errors
/// As [`forward`].
pub fn forward_idle<B: Backend>(stages: &impl Stages<B>) -> Result<()> {
    stages.begin((0..stages.count()).collect());
    (0..stages.count()).try_for_each(|index| stages.stage(index).map(|_| ()))
}
