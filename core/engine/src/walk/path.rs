//! Forward through blocks that are differentiated one at a time, and back: with respect to weights, or to what the context
//! holds.

use burn::tensor::Tensor;
use burn::tensor::backend::AutodiffBackend;
use isograd_ops::gradient::CotangentBackend;

use super::Walk;
use crate::{Block, BlockWeights, Differentiable, Flow, Result, Segment, Sink, WeightSource};

/// What a walk differentiates with respect to, and the context that its blocks read.
pub(super) trait Towards<A: AutodiffBackend, C: ?Sized> {
    /// What of the context belongs to one block alone.
    type Own;

    /// Whether gradients with respect to weights are wanted.
    const WEIGHTS: bool;

    /// For a block that is about to be differentiated.
    fn own(&self) -> Self::Own;

    /// What such a block reads.
    fn context<'a>(&'a self, own: &'a Self::Own) -> &'a C;

    /// What a block reads that is not differentiated.
    fn plain(&self) -> &C;

    /// The gradients of a block; `None` where the result does not depend on it.
    fn found(&mut self, index: usize, own: Self::Own, weights: BlockWeights<A>, gradients: Option<A::Gradients>);
}

/// With respect to weights.
pub(super) struct TowardsWeights<'a, C: ?Sized, S: ?Sized> {
    pub(super) context: &'a C,
    pub(super) sink: &'a mut S,
}

impl<A: AutodiffBackend, C: ?Sized, S: Sink<A::InnerBackend> + ?Sized> Towards<A, C> for TowardsWeights<'_, C, S> {
    type Own = ();

    const WEIGHTS: bool = true;

    fn own(&self) {}

    fn context<'a>(&'a self, (): &'a ()) -> &'a C {
        self.context
    }

    fn plain(&self) -> &C {
        self.context
    }

    fn found(&mut self, index: usize, (): (), weights: BlockWeights<A>, mut gradients: Option<A::Gradients>) {
        let found = weights.gradients(gradients.as_mut());
        drop((weights, gradients));
        self.sink.block(index, found);
    }
}

/// With respect to what the context holds.
pub(super) struct TowardsContext<'a, A: AutodiffBackend, C: Differentiable<A>> {
    pub(super) context: &'a C,
    pub(super) sum: C::Cotangents,
}

impl<A: AutodiffBackend, C: Differentiable<A>> Towards<A, C> for TowardsContext<'_, A, C> {
    type Own = C;

    const WEIGHTS: bool = false;

    fn own(&self) -> C {
        self.context.leaves()
    }

    fn context<'a>(&'a self, own: &'a C) -> &'a C {
        own
    }

    fn plain(&self) -> &C {
        self.context
    }

    fn found(&mut self, _index: usize, own: C, _weights: BlockWeights<A>, gradients: Option<A::Gradients>) {
        if let Some(mut gradients) = gradients {
            own.collect(&mut gradients, &mut self.sum);
        }
    }
}

/// A block that has run under autodiff, on a graph of its own.
pub(super) struct Run<A: AutodiffBackend, O> {
    inputs: Flow<A>,
    weights: BlockWeights<A>,
    own: O,
    outputs: Flow<A>,
}

/// A segment on the way back.
pub(super) enum Held<A: AutodiffBackend, O> {
    /// What its blocks have computed.
    Runs(Vec<Run<A, O>>),
    /// What flowed into it.
    Inputs(Flow<A>),
}

/// The positions of blocks in the order in which a walk asks for their weights: all on the way forward, and those that
/// are run again.
pub(super) fn order(segments: &[Segment]) -> Vec<usize> {
    let again = segments.iter().rev().filter(|segment| !segment.kept);
    segments.iter().chain(again).flat_map(|segment| segment.blocks.clone()).collect()
}

/// Blocks that have run, and what flows out of the last one.
type Ran<A, O> = (Vec<Run<A, O>>, Flow<A>);

/// The same of all segments.
type Out<A, O> = (Vec<Held<A, O>>, Flow<A>);

/// A gradient with respect to each tensor that flows out of a block.
pub(super) type Cotangents<A> = Vec<Option<Tensor<<A as AutodiffBackend>::InnerBackend, 2>>>;

/// Blocks on the way forward and back.
pub(super) struct Path<'a, A: AutodiffBackend, C: ?Sized, W: ?Sized> {
    pub(super) blocks: &'a [Box<dyn Block<A, C>>],
    pub(super) weights: &'a W,
    pub(super) walk: Walk<'a, A::Device>,
}

impl<A, C, W> Path<'_, A, C, W>
where
    A: AutodiffBackend + CotangentBackend,
    C: ?Sized,
    W: WeightSource<A::InnerBackend> + ?Sized,
{
    fn seed(&self, index: usize) {
        if let Some((seed, device)) = self.walk.random {
            A::seed(device, seed.wrapping_add(index as u64));
        }
    }

    /// Runs the blocks of a segment, each on a graph of its own, also within a segment: whatever is kept, the same graphs
    /// are differentiated.
    fn run_tracked<T: Towards<A, C>>(
        &self,
        towards: &T,
        segment: &Segment,
        mut flow: Flow<A>,
    ) -> Result<Ran<A, T::Own>> {
        let mut runs = Vec::with_capacity(segment.blocks.len());
        for index in segment.blocks.clone() {
            let weights = BlockWeights::<A>::from_inner(self.weights.of(index)?, T::WEIGHTS);
            self.seed(index);
            let (own, inputs) = (towards.own(), flow.leaves());
            let outputs = self.blocks[index].forward(&weights, towards.context(&own), inputs.clone());
            flow = outputs.detached();
            runs.push(Run { inputs, weights, own, outputs });
        }
        Ok((runs, flow))
    }

    /// Runs all blocks; what flows out of the last one.
    pub(super) fn forward<T: Towards<A, C>>(&self, towards: &T) -> Result<Out<A, T::Own>> {
        let segments = self.walk.segments;
        let covered =
            segments.iter().try_fold(0, |end, segment| (segment.blocks.start == end).then_some(segment.blocks.end));
        assert_eq!(covered, Some(self.blocks.len()), "walk: segments are not those of the blocks");
        self.weights.begin(order(segments));
        let mut flow = Flow::<A>::new();
        let mut held = Vec::with_capacity(segments.len());
        for segment in segments {
            if segment.kept {
                let (runs, outputs) = self.run_tracked(towards, segment, flow)?;
                held.push(Held::Runs(runs));
                flow = outputs;
            } else {
                held.push(Held::Inputs(flow.clone()));
                for index in segment.blocks.clone() {
                    let weights = BlockWeights::<A>::from_inner(self.weights.of(index)?, false);
                    self.seed(index);
                    flow = self.blocks[index].forward(&weights, towards.plain(), flow);
                }
            }
        }
        Ok((held, flow))
    }

    /// Goes back through all blocks from the gradients of what flowed out of the last one.
    pub(super) fn backward<T: Towards<A, C>>(
        &self,
        towards: &mut T,
        held: Vec<Held<A, T::Own>>,
        mut cotangents: Cotangents<A>,
    ) -> Result<()> {
        for (segment, held) in self.walk.segments.iter().zip(held).rev() {
            let runs = match held {
                Held::Runs(runs) => runs,
                Held::Inputs(inputs) => self.run_tracked(towards, segment, inputs)?.0,
            };
            for (index, Run { inputs, weights, own, outputs }) in segment.blocks.clone().zip(runs).rev() {
                let pairs = outputs.tensors().cloned().zip(cotangents);
                let pairs = pairs.filter_map(|(output, cotangent)| Some((output, cotangent?)));
                let pairs = pairs.filter(|(output, _)| A::is_tracked(output));
                let root = pairs.map(|(output, cotangent)| A::pull_back(output, cotangent)).reduce(|a, b| a + b);
                drop(outputs);
                let mut gradients = root.map(|root| root.backward());
                let cotangent = |tensor: &Tensor<A, 2>| tensor.grad_remove(gradients.as_mut()?);
                cotangents = inputs.tensors().map(cotangent).collect();
                drop(inputs);
                towards.found(index, own, weights, gradients);
            }
        }
        Ok(())
    }
}
