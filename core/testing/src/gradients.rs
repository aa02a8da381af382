//! Gradients of every parameter, forces and stress against finite differences, in double precision.

use burn::tensor::{ElementConversion, Tensor, TensorData};
use isograd_data::HostBatch;
use isograd_engine::{Collect, Flow, Recompute, Walk};
use isograd_models::Graph;
use isograd_ops::device::F64Backend;
use isograd_ops::kernels::KernelBackend;
use isograd_tasks::{Labels, LossKind, Network, Term, loss};

use crate::Subject;
use crate::batches::{batch, graphs};

type F64 = F64Backend;

/// Differentiates a smooth loss by every parameter, along one of its values and along all, with everything recomputed.
///
/// # Panics
/// Where a gradient is not the slope.
pub fn match_finite_differences(subject: &Subject) {
    let device = Default::default();
    let model = subject.model();
    let layout = model.layout(1);
    let batch = batch(subject, &graphs(subject), &[1, 2, 5, 7]);
    let task = subject.task();
    let targets = &task.targets;
    // Smooth, so that differences converge.
    let term = |target| Term { target, kind: LossKind::Mse, weight: [1.0, 3.0, 20.0][target], delta: 0.0 };
    let terms: Vec<Term> = (0..targets.len()).map(term).collect();
    let counts = batch.labels.counts();
    let species = model.inputs().species.len();
    let weights = layout.whole::<F64>(5, &device);

    let network = Network::<F64>::new(&model);
    let graph = Graph::new(&batch.graphs, species, &device);
    let labels = Labels::new(targets, &batch.labels, &device);
    let objective = |flow| loss(&terms, targets, flow, &labels, &counts);
    let segments = Recompute::Layer.segments(network.len());
    let walk = Walk { segments: &segments, random: None };
    let mut sink = Collect::new(network.len());
    network
        .value_and_grad(&layout.view(&weights), &graph, walk, objective, &mut sink)
        .unwrap_or_else(|error| panic!("{}: {error}", subject.name));
    let gradients = sink.gradients();

    let labels = Labels::new(targets, &batch.labels, &device);
    let at = |moved: &[Tensor<F64, 1>]| -> f64 {
        let flow: Flow<F64> = network
            .predict(&layout.view(moved), &batch.graphs, &device)
            .unwrap_or_else(|error| panic!("{}: {error}", subject.name));
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

/// Compares forces and stress of a conservative potential with differences of its energy, component by component.
///
/// # Panics
/// Where one is not the derivative, or forces do not sum to zero.
pub fn derivatives_match_finite_differences(subject: &Subject) {
    let device = Default::default();
    let model = subject.model();
    let layout = model.layout(1);
    let weights = layout.whole::<F64>(7, &device);
    let network = Network::<F64>::new(&model);
    let batch = batch(subject, &graphs(subject), &[2, 5, 1]).graphs;
    let of = |batch: &HostBatch, name: &str| -> Vec<f64> {
        let found = network.predict(&layout.view(&weights), batch, &device);
        let mut flow = found.unwrap_or_else(|error| panic!("{}: {error}", subject.name));
        flow.need(name).into_tensor().into_data().iter::<f64>().collect()
    };
    let slope = |changed: &dyn Fn(f64) -> HostBatch| -> Vec<f64> {
        const STEP: f64 = 2e-6;
        let [ahead, behind] = [STEP, -STEP].map(|step| of(&changed(step), "energy"));
        ahead.iter().zip(&behind).map(|(ahead, behind)| (ahead - behind) / (2.0 * STEP)).collect()
    };
    let agree = |what: &str, found: f64, expected: f64| {
        let error = (found - expected).abs();
        assert!(error < 1e-7 * expected.abs().max(1.0), "{}, {what}: {found} instead of {expected}", subject.name);
    };
    let forces = of(&batch, "forces");
    for (place, &force) in forces.iter().enumerate() {
        let (node, axis) = ((place / 3) as u32, place % 3);
        let moved = |step: f64| {
            let mut moved = batch.clone();
            for (edge, (&receiver, &sender)) in batch.receivers.iter().zip(&batch.senders).enumerate() {
                let sign = f64::from(u8::from(sender == node)) - f64::from(u8::from(receiver == node));
                moved.vectors[3 * edge + axis] += sign * step;
            }
            moved
        };
        agree(&format!("force {axis} of node {node}"), force, -slope(&moved).iter().sum::<f64>());
    }
    for (graph, size) in batch.sizes.iter().enumerate() {
        let first: usize = batch.sizes[..graph].iter().sum();
        let own = &forces[3 * first..3 * (first + size)];
        for axis in 0..3 {
            agree("net force", own.iter().skip(axis).step_by(3).sum(), 0.0);
        }
    }
    let stress = of(&batch, "stress");
    for (row, column) in (0..9).map(|place| (place / 3, place % 3)) {
        let strained = |step: f64| {
            let mut strained = batch.clone();
            for (new, old) in strained.vectors.chunks_exact_mut(3).zip(batch.vectors.chunks_exact(3)) {
                new[row] += 0.5 * step * old[column];
                new[column] += 0.5 * step * old[row];
            }
            strained
        };
        for (graph, slope) in slope(&strained).iter().enumerate() {
            let expected = batch.volumes[graph].map_or(0.0, |volume| slope / volume);
            agree(&format!("stress {row} {column} of graph {graph}"), stress[9 * graph + 3 * row + column], expected);
        }
    }
}

/// Compares products with the Hessian of a conservative potential with differences of its forces.
///
/// # Panics
/// Where one is not the derivative.
pub fn hessian_products_match_finite_differences(subject: &Subject) {
    let device = Default::default();
    let model = subject.model();
    let layout = model.layout(1);
    let weights = layout.whole::<F64>(7, &device);
    let network = Network::<F64>::new(&model);
    let batch = batch(subject, &graphs(subject), &[2, 5, 1]).graphs;
    let along: Vec<f64> = (0..3 * batch.nodes()).map(|k| (1.7 * k as f64).sin()).collect();
    let forces = |step: f64| -> Vec<f64> {
        let mut moved = batch.clone();
        for (edge, (&receiver, &sender)) in batch.receivers.iter().zip(&batch.senders).enumerate() {
            for axis in 0..3 {
                let of = |node: u32| along[3 * node as usize + axis];
                moved.vectors[3 * edge + axis] += step * (of(sender) - of(receiver));
            }
        }
        let found = network.predict(&layout.view(&weights), &moved, &device);
        let mut flow = found.unwrap_or_else(|error| panic!("{}: {error}", subject.name));
        flow.need("forces").into_tensor().into_data().iter::<f64>().collect()
    };
    const STEP: f64 = 2e-6;
    let [ahead, behind] = [STEP, -STEP].map(forces);
    let directions = Tensor::from_data(TensorData::new(along.clone(), [batch.nodes(), 3]), &device);
    let product = network.hessian_product(&layout.view(&weights), &batch, directions, &device);
    let product = product.unwrap_or_else(|error| panic!("{}: {error}", subject.name));
    for (place, found) in product.into_data().iter::<f64>().enumerate() {
        let expected = (behind[place] - ahead[place]) / (2.0 * STEP);
        let error = (found - expected).abs();
        assert!(error < 1e-6 * expected.abs().max(1.0), "{}, {place}: {found} instead of {expected}", subject.name);
    }
}

fn tensor<B: KernelBackend>(values: Vec<f64>) -> Tensor<B, 1> {
    let length = values.len();
    Tensor::from_data(TensorData::new(values, [length]), &Default::default())
}

fn numbers<B: KernelBackend>(tensor: Tensor<B, 1>) -> Vec<f64> {
    tensor.into_data().iter::<f64>().collect()
}
