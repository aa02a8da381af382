//! Any function as a block.

use burn::tensor::backend::Backend;

use crate::{Block, BlockWeights, Flow};

/// A function as a block: of the block's weights, of the context, and of what flows in. It owns the slots that it reads.
pub fn block<B: Backend, C: ?Sized>(
    forward: impl Fn(&BlockWeights<B>, &C, Flow<B>) -> Flow<B> + Send + Sync + 'static,
) -> Box<dyn Block<B, C>> {
    Box::new(Function(forward))
}

struct Function<F>(F);

impl<B: Backend, C: ?Sized, F> Block<B, C> for Function<F>
where
    F: Fn(&BlockWeights<B>, &C, Flow<B>) -> Flow<B> + Send + Sync,
{
    fn forward(&self, weights: &BlockWeights<B>, context: &C, flow: Flow<B>) -> Flow<B> {
        (self.0)(weights, context, flow)
    }
}
