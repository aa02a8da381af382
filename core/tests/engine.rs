//! Recomputation changes what is kept and nothing else: losses and gradients are the same to the bit,
//! equal those of one autodiff graph through the whole model, and match finite differences.

mod common;

use burn::backend::Autodiff;
use burn::module::{AutodiffModule, Module};
use burn::optim::GradientsParams;
use burn::tensor::backend::Backend;
use burn::tensor::{Distribution, Tensor, TensorData};
use burn_flex::Flex;
use burn_ndarray::NdArray;
use isograd_backends::kernels::KernelBackend;
use isograd_core::engine::{Collect, Flow, Recompute, Segment, Stage, Walk, value_and_grad};
use isograd_core::graph::{GraphBatch, HostBatch, HostGraph};
use isograd_core::loss::{Labels, LossConfig, LossKind, loss};
use isograd_core::model::{self, Dense, Egnn, EgnnConfig, MessageKind};
use isograd_core::train::{Average, Optimizer, OptimizerConfig, Step, accumulate, differentiate};
use isograd_structure::{Geometry, neighbour_list};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const POLICIES: [Recompute; 4] = [Recompute::None, Recompute::Layer, Recompute::Every(2), Recompute::Every(9)];

/// Two micro-batches of labelled clusters, for every head.
fn micro_batches(config: &EgnnConfig) -> Vec<HostBatch> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut graph = |k: usize| {
        let positions: Vec<[f64; 3]> =
            (0..4 + k).map(|_| std::array::from_fn(|_| rng.random_range(0.0..3.0))).collect();
        let species = (0..4 + k).map(|_| rng.random_range(0..config.elements.len() as i32)).collect();
        let forces = positions.iter().map(|x| x.map(|x| (2.0 * x).sin())).collect();
        let edges = neighbour_list(&Geometry { positions, ..Default::default() }, config.cutoff).unwrap();
        HostGraph { species, edges, energy: Some(k as f64), forces: Some(forces), head: k % config.heads }
    };
    (0..2).map(|half| HostBatch::new(&[0, 1, 2], &[graph(half), graph(half + 1), graph(half + 2)])).collect()
}

/// Losses, averaged weights and last gradients of 50 steps.
fn trajectory(config: &EgnnConfig, message: MessageKind, segments: &[Segment]) -> (Vec<f64>, Vec<TensorData>) {
    let device = Default::default();
    let batches: Vec<Vec<HostBatch>> = micro_batches(config).into_iter().map(|batch| vec![batch]).collect();
    let settings = LossConfig::default();
    let work = Step::new(&settings, &batches, segments);
    let mut model = Egnn::<Autodiff<Flex>>::new(config, 5, &device);
    model.message = message;
    let mut optimizer = Optimizer::new(&OptimizerConfig::default());
    let mut average = Average::<Flex>::new(0.9);
    let mut last = Vec::new();
    let mut losses = Vec::new();
    for step in 1..=50 {
        let stages = model.stages();
        let mut sink = Collect::new(stages.len());
        losses.push(accumulate(&model, &stages, &work, &device, &mut sink).unwrap());
        drop(stages);
        let gradients = sink.gradients();
        last = gradients.iter().map(|gradient| gradient.to_data()).collect();
        model = optimizer.step(model, 3e-3, gradients, 1.0);
        average.update(step, model::read(&model.valid()).into_iter().map(|parameter| parameter.values).collect());
    }
    last.extend(average.values.iter().map(|values| values.to_data()));
    (losses, last)
}

#[test]
fn every_policy_trains_alike_to_the_bit() {
    for (name, config) in common::configs() {
        let config = EgnnConfig { layers: 4, ..config };
        for message in [MessageKind::Fused, MessageKind::Composed] {
            let expected = trajectory(&config, message, &Recompute::None.segments(5));
            assert!(expected.0[49] < 0.95 * expected.0[0], "{name}: nothing was learned, so nothing was tested");
            // The last is what `auto` may choose.
            let policies = POLICIES[1..].iter().map(|policy| policy.segments(5)).chain([Recompute::keep_last(5, 3)]);
            for segments in policies {
                assert!(trajectory(&config, message, &segments) == expected, "{name}, {message:?}, {segments:?}");
            }
        }
    }
}

#[test]
fn stages_give_the_gradients_of_one_graph() {
    let device = Default::default();
    for (name, config) in common::configs() {
        let model = Egnn::<Autodiff<Flex>>::new(&config, 5, &device);
        let batch = &micro_batches(&config)[0];
        let graph = GraphBatch::new(batch, config.elements.len(), &device);
        let labels = Labels::new(batch, &device);
        let whole = loss(&LossConfig::default(), model.forward(&graph), &labels, batch.label_counts());
        let value = f64::from(whole.clone().into_scalar());
        let mut grads = GradientsParams::from_grads(whole.backward(), &model);
        let expected = model::gradients(&model, &mut grads);
        for policy in POLICIES {
            let of = |prediction| loss(&LossConfig::default(), prediction, &labels, batch.label_counts());
            let (found, gradients) = differentiate(&model, &graph, &policy.segments(config.layers + 1), of).unwrap();
            assert_eq!(found, value);
            assert_eq!(gradients.len(), expected.len());
            for (k, (found, expected)) in gradients.iter().zip(&expected).enumerate() {
                let size = expected.clone().abs().max().into_scalar();
                let error = (found.clone() - expected.clone()).abs().max().into_scalar();
                assert!(error <= 2e-6 * size.max(1e-3), "{name}, {policy}, parameter {k}: {error:e} of {size:e}");
            }
        }
    }
}

#[test]
fn gradients_under_recomputation_match_finite_differences() {
    type F64 = NdArray<f64>;
    let device = Default::default();
    // Smooth, so that differences converge.
    let settings = LossConfig { kind: LossKind::Mse, ..Default::default() };
    for (name, config) in common::configs() {
        let batch = &micro_batches(&config)[1];
        let tracked = Egnn::<Autodiff<F64>>::new(&config, 5, &device);
        let graph = GraphBatch::new(batch, config.elements.len(), &device);
        let labels = Labels::new(batch, &device);
        let of = |prediction| loss(&settings, prediction, &labels, batch.label_counts());
        let (_, gradients) =
            differentiate(&tracked, &graph, &Recompute::Layer.segments(config.layers + 1), of).unwrap();
        let model = tracked.valid();
        let direction: Vec<_> = gradients.iter().map(|gradient| gradient.clone() * gradient.clone().sin()).collect();
        let slope: f64 =
            gradients.iter().zip(&direction).map(|(g, d)| (g.clone() * d.clone()).sum().into_scalar()).sum();
        let graph = GraphBatch::<F64>::new(batch, config.elements.len(), &device);
        let labels = Labels::new(batch, &device);
        let at = |step: f64| {
            let moved = model::map(model.clone(), |k, values| values + direction[k].clone().mul_scalar(step));
            loss(&settings, moved.forward(&graph), &labels, batch.label_counts()).into_scalar()
        };
        let step = 1e-5 / slope.abs().max(1.0).sqrt();
        let numeric = (at(step) - at(-step)) / (2.0 * step);
        assert!((numeric - slope).abs() < 1e-6 * slope.abs(), "{name}: {slope} instead of {numeric}");
    }
}

/// A model of another kind: a perceptron that drops random values.
#[derive(Module, Debug)]
struct Dropping<B: Backend> {
    map: Dense<B>,
}

impl<B: KernelBackend> Stage<B> for Dropping<B> {
    type Graph = Tensor<B, 2>;

    fn forward(&self, input: &Tensor<B, 2>, flow: Flow<B>) -> Flow<B> {
        let x = flow.into_iter().next().unwrap_or_else(|| input.clone());
        let y = self.map.forward(x);
        let kept = Tensor::<B, 2>::random(y.dims(), Distribution::Bernoulli(0.5), &y.device());
        vec![B::silu(y * kept)]
    }
}

#[test]
fn random_stages_draw_the_same_again() {
    type Tracked = Autodiff<Flex>;
    let device = Default::default();
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let stages: Vec<Dropping<Tracked>> =
        (0..5).map(|_| Dropping { map: Dense::new([6, 6], 6, true, &mut rng, &device) }).collect();
    let input = Tensor::<Tracked, 2>::from_data([[0.5, -1.0, 0.25, 2.0, 1.0, -0.5]; 4], &device);
    let run = |recompute: Recompute, seed: u64| {
        let segments = recompute.segments(stages.len());
        let mut sink = Collect::new(stages.len());
        let walk = Walk { segments: &segments, seed: Some((seed, &device)) };
        let objective = |flow: Flow<Tracked>| (flow[0].clone() * flow[0].clone()).sum();
        let value = value_and_grad(&stages, &input, walk, objective, &mut sink).unwrap();
        let gradients: Vec<TensorData> = sink.gradients().into_iter().map(Tensor::into_data).collect();
        (value, gradients)
    };
    let expected = run(Recompute::None, 7);
    assert!(expected.0 > 0.0 && expected.1.len() == 10);
    for policy in POLICIES {
        assert!(run(policy, 7) == expected, "{policy}");
    }
    assert!(run(Recompute::None, 8) != expected, "nothing was random, so nothing was tested");
}
