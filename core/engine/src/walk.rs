//! Forward through all blocks, and back.

use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{ElementConversion, Tensor};
use isograd_backends::gradient::CotangentBackend;

use crate::{Block, BlockWeights, Flow, Result, Segment, Sink, WeightSource};

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
        let own = BlockWeights::new(weights.weights(index)?);
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
#[derive(Debug, Clone, Copy)]
pub struct Walk<'a, D> {
    /// The blocks in their order, none left out.
    pub segments: &'a [Segment],
    /// Sets Burn's generator on this device from this seed before each block, so that a block which draws random numbers
    /// draws the same when it is run again. The generator is the process's: only one walk at a time.
    pub random: Option<(u64, &'a D)>,
}

/// A block that has run under autodiff, on a graph of its own.
struct Run<A: AutodiffBackend> {
    inputs: Flow<A>,
    weights: BlockWeights<A>,
    outputs: Flow<A>,
}

/// A segment on the way back.
enum Held<A: AutodiffBackend> {
    /// What its blocks have computed.
    Runs(Vec<Run<A>>),
    /// What flowed into it.
    Inputs(Flow<A>),
}

/// The positions of blocks in the order in which a walk asks for their weights: all on the way forward, and those that
/// are run again.
fn order(segments: &[Segment]) -> Vec<usize> {
    let again = segments.iter().rev().filter(|segment| !segment.kept);
    segments.iter().chain(again).flat_map(|segment| segment.blocks.clone()).collect()
}

/// The value of `loss` after all blocks; the gradients of each block go to `sink`.
///
/// # Errors
/// Where the weights of a block cannot be had.
///
/// # Panics
/// If the segments are not those of the blocks, or a block's outputs do not depend on anything that is differentiated.
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
    let covered =
        walk.segments.iter().try_fold(0, |end, segment| (segment.blocks.start == end).then_some(segment.blocks.end));
    assert_eq!(covered, Some(blocks.len()), "value_and_grad: segments are not those of the blocks");
    weights.begin(order(walk.segments));
    let run = |index: usize, inputs: Flow<A>, tracked: bool| -> Result<Run<A>> {
        let own = BlockWeights::<A>::from_inner(weights.weights(index)?, tracked);
        if let Some((seed, device)) = walk.random {
            A::seed(device, seed.wrapping_add(index as u64));
        }
        let outputs = blocks[index].forward(&own, context, inputs.clone());
        Ok(Run { inputs, weights: own, outputs })
    };
    // Each block starts a graph of its own, also within a segment: whatever is kept, the same graphs are differentiated.
    let run_tracked = |segment: &Segment, mut flow: Flow<A>| -> Result<(Vec<Run<A>>, Flow<A>)> {
        let mut runs = Vec::with_capacity(segment.blocks.len());
        for index in segment.blocks.clone() {
            let done = run(index, flow.leaves(), true)?;
            flow = done.outputs.detached();
            runs.push(done);
        }
        Ok((runs, flow))
    };

    let mut flow = Flow::<A>::new();
    let mut held = Vec::with_capacity(walk.segments.len());
    for segment in walk.segments {
        if segment.kept {
            let (runs, outputs) = run_tracked(segment, flow)?;
            held.push(Held::Runs(runs));
            flow = outputs;
        } else {
            held.push(Held::Inputs(flow.clone()));
            for index in segment.blocks.clone() {
                flow = run(index, flow, false)?.outputs;
            }
        }
    }

    let ends = flow.leaves();
    let loss = loss(ends.clone());
    let value = loss.clone().into_scalar().elem::<f64>();
    let grads = loss.backward();
    let mut cotangents: Vec<_> = ends.values().map(|value| value.tensor().grad(&grads)).collect();
    drop((ends, grads));

    for (segment, held) in walk.segments.iter().zip(held).rev() {
        let runs = match held {
            Held::Runs(runs) => runs,
            Held::Inputs(inputs) => run_tracked(segment, inputs)?.0,
        };
        for (index, Run { inputs, weights: own, outputs }) in segment.blocks.clone().zip(runs).rev() {
            let pairs = outputs.into_tensors().zip(cotangents);
            let pairs = pairs.filter_map(|(output, cotangent)| Some((output, cotangent?)));
            let root = pairs.map(|(output, cotangent)| A::pull_back(output, cotangent)).reduce(|a, b| a + b);
            let Some(root) = root else { panic!("value_and_grad: the loss depends on no output of block {index}") };
            let mut grads = root.backward();
            cotangents = inputs.values().map(|value| value.tensor().grad_remove(&mut grads)).collect();
            let gradient = |values: &Tensor<A, 1>| {
                let found = values.grad_remove(&mut grads);
                found.unwrap_or_else(|| Tensor::zeros(values.dims(), &values.device()))
            };
            let gradients = own.flat().iter().map(gradient).collect();
            drop((inputs, own, grads));
            sink.block(index, gradients);
        }
    }
    Ok(value)
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
