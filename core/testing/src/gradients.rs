//! Gradients of every parameter against finite differences, in double precision, with everything recomputed.

use burn::tensor::{ElementConversion, Tensor, TensorData};
use isograd_backends::device::F64Backend;
use isograd_backends::kernels::KernelBackend;
use isograd_engine::{Collect, Flow, Recompute, Walk, forward, value_and_grad};
use isograd_models::{Graph, ModelBackend};
use isograd_tasks::{Labels, LossKind, Term, loss, potential_targets};

use crate::Subject;
use crate::batches::{batch, graphs};

type F64 = F64Backend;

/// Differentiates a smooth loss by every parameter, along one of its values and along all.
///
/// # Panics
/// Where a gradient is not the slope.
pub fn match_finite_differences(subject: &Subject) {
    let device = Default::default();
    let model = subject.model();
    let layout = model.layout(1);
    let batch = batch(&graphs(subject), &[1, 2, 5, 7]);
    let targets = potential_targets();
    // Smooth, so that differences converge.
    let terms = [(0, 1.0), (1, 3.0)].map(|(target, weight)| Term { target, kind: LossKind::Mse, weight, delta: 0.0 });
    let counts = batch.labels.counts();
    let species = model.inputs().species.len();
    let weights = layout.whole::<F64>(5, &device);

    let blocks = model.blocks::<<F64 as ModelBackend>::Tracked>();
    let graph = Graph::new(&batch.graphs, species, &device);
    let labels = Labels::new(targets, &batch.labels, &device);
    let objective = |flow| loss(&terms, targets, flow, &labels, &counts);
    let segments = Recompute::Layer.segments(blocks.len());
    let walk = Walk { segments: &segments, random: None };
    let mut sink = Collect::new(blocks.len());
    value_and_grad(&blocks, &layout.view(&weights), &graph, walk, objective, &mut sink)
        .unwrap_or_else(|error| panic!("{}: {error}", subject.name));
    let gradients = sink.gradients();

    let blocks = model.blocks::<F64>();
    let graph = Graph::<F64>::new(&batch.graphs, species, &device);
    let labels = Labels::new(targets, &batch.labels, &device);
    let at = |moved: &[Tensor<F64, 1>]| -> f64 {
        let flow: Flow<F64> =
            forward(&blocks, &layout.view(moved), &graph).unwrap_or_else(|error| panic!("{}: {error}", subject.name));
        loss(&terms, targets, flow, &labels, &counts).into_scalar().elem()
    };
    for (place, spec) in layout.parameters().iter().enumerate() {
        let middle = spec.size() / 2;
        let shifted = |by: f64| {
            let mut nudge = vec![0.0; spec.size()];
            nudge[middle] = by;
            let mut moved = weights.clone();
            moved[place] = moved[place].clone() + tensor(nudge);
            at(&moved)
        };
        let numeric = (shifted(1e-5) - shifted(-1e-5)) / 2e-5;
        let exact = numbers(gradients[place].clone())[middle];
        let error = (numeric - exact).abs() / exact.abs().max(1e-3);
        assert!(error < 1e-6, "{}, {}: {exact} instead of {numeric}", subject.name, spec.path);
    }
    // A direction in which all values count.
    let direction: Vec<_> = gradients.iter().map(|gradient| gradient.clone() * gradient.clone().sin()).collect();
    let slope: f64 =
        gradients.iter().zip(&direction).map(|(g, d)| (g.clone() * d.clone()).sum().into_scalar().elem::<f64>()).sum();
    let along = |by: f64| {
        let moved = weights.iter().zip(&direction).map(|(w, d)| w.clone() + d.clone().mul_scalar(by));
        at(&moved.collect::<Vec<_>>())
    };
    let step = 1e-5 / slope.abs().max(1.0).sqrt();
    let numeric = (along(step) - along(-step)) / (2.0 * step);
    assert!((numeric - slope).abs() < 1e-6 * slope.abs(), "{}: {slope} instead of {numeric}", subject.name);
}

fn tensor<B: KernelBackend>(values: Vec<f64>) -> Tensor<B, 1> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), &Default::default())
}

fn numbers<B: KernelBackend>(tensor: Tensor<B, 1>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}
