//! Forward through all blocks, and back.

mod path;

use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{ElementConversion, Tensor};
use isograd_ops::gradient::CotangentBackend;

use path::{Path, TowardsContext, TowardsWeights, order};

use crate::{Block, Differentiable, Flow, Result, Segment, Sink, WeightSource};

/// What flows out of the last block.
///
/// # Errors
/// Where the weights of a block cannot be had.
pub fn forward<B: Backend, C: ?Sized>(
    blocks: &[Box<dyn Block<B, C>>],
    weights: &(impl WeightSource<B> + ?Sized),
    context: &C,
) -> Result<Flow<B>> {
    weights.begin((0..blocks.len()).collect());
    let mut flow = Flow::new();
    for (index, block) in blocks.iter().enumerate() {
        let own = weights.of(index)?;
        flow = block.forward(&own, context, flow);
    }
    Ok(flow)
}

/// Asks for the same weights in the same order, and does nothing with them. For a rank that has nothing to predict while
/// others have.
///
/// # Errors
/// As [`forward`].
pub fn forward_idle<B: Backend>(blocks: usize, weights: &(impl WeightSource<B> + ?Sized)) -> Result<()> {
    weights.begin((0..blocks).collect());
    (0..blocks).try_for_each(|index| weights.weights(index).map(|_| ()))
}

/// How blocks are walked.
#[derive(Debug)]
pub struct Walk<'a, D> {
    /// The blocks in their order, none left out.
    pub segments: &'a [Segment],
    /// Sets Burn's generator on this device from this seed before each block, so that a block which draws random numbers
    /// draws the same when it is run again. The generator is the process's: only one walk at a time.
    pub random: Option<(u64, &'a D)>,
}

impl<D> Clone for Walk<'_, D> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<D> Copy for Walk<'_, D> {}

/// The value of `loss` after all blocks; the gradients of each block go to `sink`.
///
/// # Errors
/// Where the weights of a block cannot be had.
///
/// # Panics
/// If the segments are not those of the blocks.
pub fn value_and_grad<A, C, L>(
    blocks: &[Box<dyn Block<A, C>>],
    weights: &(impl WeightSource<A::InnerBackend> + ?Sized),
    context: &C,
    walk: Walk<'_, A::Device>,
    loss: L,
    sink: &mut (impl Sink<A::InnerBackend> + ?Sized),
) -> Result<f64>
where
    A: AutodiffBackend + CotangentBackend,
    C: ?Sized,
    L: FnOnce(Flow<A>) -> Tensor<A, 1>,
{
    let path = Path { blocks, weights, walk };
    let mut towards = TowardsWeights { context, sink };
    let (held, flow) = path.forward(&towards)?;
    let ends = flow.leaves();
    let loss = loss(ends.clone());
    let value = loss.clone().into_scalar().elem::<f64>();
    let grads = loss.backward();
    let cotangents = ends.tensors().map(|tensor| tensor.grad(&grads)).collect();
    drop((ends, grads));
    path.backward(&mut towards, held, cotangents)?;
    Ok(value)
}

/// What flows out of the last block, and the gradient of the sum of its entry `of`, or of the tangent of that entry where it
/// has one, with respect to what the context holds. No gradient of a weight is computed.
///
/// # Errors
/// Where the weights of a block cannot be had.
///
/// # Panics
/// If the segments are not those of the blocks, or there is no such entry.
pub fn context_gradient<A, C>(
    blocks: &[Box<dyn Block<A, C>>],
    weights: &(impl WeightSource<A::InnerBackend> + ?Sized),
    context: &C,
    walk: Walk<'_, A::Device>,
    of: &str,
) -> Result<(Flow<A::InnerBackend>, C::Cotangents)>
where
    A: AutodiffBackend + CotangentBackend,
    C: Differentiable<A>,
{
    let path = Path { blocks, weights, walk };
    let mut towards = TowardsContext { context, sum: C::Cotangents::default() };
    let (held, flow) = path.forward(&towards)?;
    let flow = flow.inner();
    assert!(flow.get(of).is_some(), "context_gradient: nothing flows out as `{of}`");
    path.backward(&mut towards, held, flow.ones(of))?;
    Ok((flow, towards.sum))
}

/// A walk of nothing: asks for the same weights in the same order, and tells `sink` that there is nothing to add. For a
/// rank that has no work while the others have.
///
/// # Errors
/// As [`value_and_grad`].
pub fn walk_idle<B: Backend>(
    weights: &(impl WeightSource<B> + ?Sized),
    segments: &[Segment],
    sink: &mut (impl Sink<B> + ?Sized),
) -> Result<()> {
    weights.begin(order(segments));
    for index in segments.iter().flat_map(|segment| segment.blocks.clone()) {
        weights.weights(index)?;
    }
    for segment in segments.iter().rev() {
        if !segment.kept {
            for index in segment.blocks.clone() {
                weights.weights(index)?;
            }
        }
        for index in segment.blocks.clone().rev() {
            sink.idle(index);
        }
    }
    Ok(())
}

/// The same for [`context_gradient`].
///
/// # Errors
/// As [`context_gradient`].
pub fn context_gradient_idle<B: Backend>(
    weights: &(impl WeightSource<B> + ?Sized),
    segments: &[Segment],
) -> Result<()> {
    let order = order(segments);
    weights.begin(order.clone());
    order.into_iter().try_for_each(|index| weights.weights(index).map(|_| ()))
}
