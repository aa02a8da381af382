//! Recomputation changes what is kept and nothing else: losses, gradients and averages are the same to the bit, with fused
//! and with composed work on edges.

use burn::tensor::TensorData;
use isograd_engine::{Average, Collect, Optimizer, OptimizerConfig, Recompute, Segment};
use isograd_ops::device::CpuBackend;
use isograd_ops::value::EdgeWork;
use isograd_train::{Batch, LossGradient, Place, Step};

use crate::Subject;
use crate::batches::{batch, graphs};

/// Steps of each course.
const STEPS: usize = 30;

/// Losses, and the last gradients and averaged weights.
fn course(subject: &Subject, segments: &[Segment]) -> (Vec<f64>, Vec<TensorData>) {
    let device = Default::default();
    let model = subject.model();
    let layout = model.layout(1);
    let graphs = graphs(subject);
    let batches: [Vec<Batch>; 2] = [vec![batch(subject, &graphs, &[1, 2, 5])], vec![batch(subject, &graphs, &[7, 3])]];
    let counts = batches.iter().flatten().map(|batch| batch.labels.counts()).sum();
    let task = subject.task();
    let terms = task.terms();
    let step = Step { targets: &task.targets, terms: &terms, batches: &batches, counts: &counts, segments };
    let gradient = LossGradient::<CpuBackend>::new(&model, &task.targets, Place::Here, &device);
    let mut weights = layout.whole::<CpuBackend>(5, &device);
    let mut optimizer = Optimizer::new(&OptimizerConfig::default(), layout.parameters());
    let mut average = Average::<CpuBackend>::new(0.9);
    let (mut losses, mut last) = (Vec::new(), Vec::new());
    for number in 1..=STEPS {
        let mut sink = Collect::new(layout.blocks());
        let loss = gradient.accumulate(&layout.view(&weights), &step, &mut sink);
        losses.push(loss.unwrap_or_else(|error| panic!("{}: {error}", subject.name)));
        let gradients = sink.gradients();
        last = gradients.iter().map(|gradient| gradient.to_data()).collect();
        weights = optimizer.step(weights, 5e-3, gradients, 1.0);
        average.update(number, weights.clone());
    }
    last.extend(average.values.iter().map(|values| values.to_data()));
    (losses, last)
}

/// Compares every policy with keeping everything.
///
/// # Panics
/// Where a policy gives other bits, or nothing is learned, so that nothing is tested.
pub fn agrees(subject: &Subject) {
    for work in [EdgeWork::Fused, EdgeWork::Composed] {
        let subject = Subject { work, ..subject.clone() };
        let blocks = subject.model().layout(1).blocks();
        let expected = course(&subject, &Recompute::None.segments(blocks));
        let (first, end) = (expected.0[0], expected.0[STEPS - 1]);
        assert!(end < 0.98 * first, "{}: nothing was learned, so nothing was tested: {first} to {end}", subject.name);
        let policies = [Recompute::Layer, Recompute::Every(2), Recompute::Every(9)];
        // The last is what `auto` may choose.
        let segments = policies.iter().map(|policy| policy.segments(blocks)).chain([Recompute::keep_last(blocks, 2)]);
        for segments in segments {
            let found = course(&subject, &segments);
            assert!(found == expected, "{}, {work:?}: {segments:?} gives other bits", subject.name);
        }
    }
}
