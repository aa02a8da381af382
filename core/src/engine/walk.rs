//! Forward through all stages, and back.

use burn::module::{AutodiffModule, Module};
use burn::optim::GradientsParams;
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{ElementConversion, Tensor};
use isograd_backends::gradient::SeedBackend;

use super::{Flow, Segment, Sink, Stage, Stages};
use crate::{Result, model};

/// How stages are walked.
#[derive(Debug, Clone, Copy)]
pub struct Walk<'a, D> {
    /// The stages in their order, none left out.
    pub segments: &'a [Segment],
    /// Sets Burn's generator on this device before each stage, so that a stage which draws random numbers
    /// draws the same when it is run again. The generator is the process's: only one walk at a time.
    pub seed: Option<(u64, &'a D)>,
}

/// A segment on the way back.
struct Kept<B: Backend, S> {
    inputs: Flow<B>,
    /// Nothing where it has to be run again.
    outputs: Option<(Vec<S>, Flow<B>)>,
}

/// The positions of stages in the order in which a walk asks for them: all on the way forward, and those that
/// are run again.
fn order(segments: &[Segment]) -> Vec<usize> {
    let again = segments.iter().rev().filter(|segment| !segment.kept);
    segments.iter().chain(again).flat_map(|segment| segment.stages.clone()).collect()
}

/// The value of `loss` after all stages; the gradients of each stage go to `sink`.
///
/// # Errors
/// Where the weights of a stage cannot be had.
///
/// # Panics
/// If the segments are not those of the stages, or a stage's outputs do not depend on anything that is
/// differentiated.
pub fn value_and_grad<A, S, L>(
    stages: &S,
    graph: &<S::Stage as Stage<A>>::Graph,
    walk: Walk<'_, A::Device>,
    loss: L,
    sink: &mut impl Sink<A::InnerBackend>,
) -> Result<f64>
where
    A: AutodiffBackend + SeedBackend,
    S: Stages<A>,
    S::Stage: AutodiffModule<A>,
    L: FnOnce(Flow<A>) -> Tensor<A, 1>,
{
    let covered =
        walk.segments.iter().try_fold(0, |end, segment| (segment.stages.start == end).then_some(segment.stages.end));
    assert_eq!(covered, Some(stages.count()), "value_and_grad: segments are not those of the stages");
    stages.begin(order(walk.segments));
    let run = |segment: &Segment, mut flow: Flow<A>, tracked: bool| -> Result<(Vec<S::Stage>, Flow<A>)> {
        let mut held = Vec::new();
        for index in segment.stages.clone() {
            let stage = stages.stage(index)?;
            if let Some((seed, device)) = walk.seed {
                A::seed(device, seed.wrapping_add(index as u64));
            }
            if tracked {
                flow = stage.forward(graph, flow);
                held.push(stage);
            } else {
                flow = stage.no_grad().forward(graph, flow);
            }
        }
        Ok((held, flow))
    };

    let mut flow = Flow::<A>::new();
    let mut kept = Vec::with_capacity(walk.segments.len());
    for segment in walk.segments {
        let inputs = if segment.kept { leaves(flow) } else { flow };
        let (held, outputs) = run(segment, inputs.clone(), segment.kept)?;
        flow = outputs.iter().map(|tensor| tensor.clone().detach()).collect();
        kept.push(Kept { inputs, outputs: segment.kept.then_some((held, outputs)) });
    }

    let ends = leaves(flow);
    let loss = loss(ends.clone());
    let value = loss.clone().into_scalar().elem::<f64>();
    let grads = loss.backward();
    let mut cotangents: Vec<_> = ends.iter().map(|tensor| tensor.grad(&grads)).collect();
    drop((ends, grads));

    for (segment, Kept { inputs, outputs }) in walk.segments.iter().zip(kept).rev() {
        let (inputs, (mut held, outputs)) = match outputs {
            Some(outputs) => (inputs, outputs),
            None => {
                let inputs = leaves(inputs);
                let outputs = run(segment, inputs.clone(), true)?;
                (inputs, outputs)
            }
        };
        let seeds = outputs.into_iter().zip(cotangents).filter_map(|(output, cotangent)| Some((output, cotangent?)));
        let root = seeds.map(|(output, cotangent)| A::seed_gradient(output, cotangent)).reduce(|a, b| a + b);
        let Some(root) = root else { panic!("value_and_grad: the loss depends on no output of a stage") };
        let mut grads = root.backward();
        cotangents = inputs.iter().map(|tensor| tensor.grad_remove(&mut grads)).collect();
        for index in segment.stages.clone().rev() {
            let Some(stage) = held.pop() else { panic!("value_and_grad: a stage was not held") };
            let mut own = GradientsParams::from_module(&mut grads, &stage);
            sink.stage(index, model::gradients(&stage, &mut own));
        }
    }
    Ok(value)
}

/// A walk of nothing: asks for the same stages in the same order, and tells `sink` that there is nothing to
/// add. For a rank that has no work while the others have.
///
/// # Errors
/// As [`value_and_grad`].
pub fn walk_idle<A: AutodiffBackend>(
    stages: &impl Stages<A>,
    segments: &[Segment],
    sink: &mut impl Sink<A::InnerBackend>,
) -> Result<()> {
    stages.begin(order(segments));
    for index in segments.iter().flat_map(|segment| segment.stages.clone()) {
        stages.stage(index)?;
    }
    for segment in segments.iter().rev() {
        if !segment.kept {
            for index in segment.stages.clone() {
                stages.stage(index)?;
            }
        }
        for index in segment.stages.clone().rev() {
            sink.idle(index);
        }
    }
    Ok(())
}

/// The same numbers as the start of a graph.
fn leaves<A: AutodiffBackend>(flow: Flow<A>) -> Flow<A> {
    flow.into_iter().map(|tensor| tensor.detach().require_grad()).collect()
}
