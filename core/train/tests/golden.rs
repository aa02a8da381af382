//! Losses as they have been: from the same weights, the same course to the bit.

mod common;

use std::collections::BTreeMap;

use burn::tensor::{Tensor, TensorData};
use burn_flex::Flex;
use common::{Case, cases, micro_batches};
use isograd_engine::{Collect, Init, Layout, Optimizer, OptimizerConfig, Recompute, Spec};
use isograd_models::Egnn;
use isograd_ops::value::EdgeWork;
use isograd_tasks::{PotentialTask, Task};
use isograd_train::{Batch, LossGradient, Place, Step};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Deserialize;

#[derive(Deserialize)]
struct Golden {
    /// What the processor must offer for the bits to be these.
    features: Vec<String>,
    /// By configuration and way of messages: 50 steps.
    losses: BTreeMap<String, Vec<f64>>,
}

/// Weights as they once began: all parameters from one stream, of a head the energy's first.
fn weights(layout: &Layout) -> Vec<Tensor<Flex, 1>> {
    let order = |spec: &Spec| {
        let mut parts = spec.path.split('.');
        match (parts.next(), parts.next(), parts.next()) {
            (Some("heads"), Some(head), Some(target)) => (1, head.to_owned(), target == "force"),
            _ => (0, String::new(), false),
        }
    };
    let mut places: Vec<usize> = (0..layout.parameters().len()).collect();
    places.sort_by_key(|&place| order(&layout.parameters()[place]));
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut weights = vec![None; places.len()];
    for place in places {
        let spec = &layout.parameters()[place];
        let Init::Uniform(bound) = spec.init else { panic!("{} began uniform", spec.path) };
        let values: Vec<f32> = (0..spec.size()).map(|_| rng.random_range(-bound..bound) as f32).collect();
        weights[place] = Some(Tensor::from_data(TensorData::new(values, [spec.size()]), &Default::default()));
    }
    weights.into_iter().map(Option::unwrap).collect()
}

fn losses(case: &Case, work: EdgeWork) -> Vec<f64> {
    let device = Default::default();
    let model = case.model(work);
    let layout = model.layout(1);
    let batches: Vec<Vec<Batch>> = micro_batches(case).into_iter().map(|batch| vec![batch]).collect();
    let counts = batches.iter().flatten().map(|batch| batch.labels.counts()).sum();
    let task = Task::from(PotentialTask::default());
    let segments = Recompute::None.segments(5);
    let (targets, terms) = (&task.targets, task.terms());
    let step = Step { targets, terms: &terms, batches: &batches, counts: &counts, segments: &segments };
    let gradient = LossGradient::<Flex>::new(&model, targets, Place::Here, &device);
    let mut weights = weights(&layout);
    let mut optimizer = Optimizer::new(&OptimizerConfig::default(), layout.parameters());
    let mut losses = Vec::new();
    for _ in 0..50 {
        let mut sink = Collect::new(layout.blocks());
        losses.push(gradient.accumulate(&layout.view(&weights), &step, &mut sink).unwrap());
        weights = optimizer.step(weights, 3e-3, sink.gradients(), 1.0);
    }
    losses
}

/// Whether this processor does arithmetic as the one that made the file: how wide its vectors are decides in what
/// order sums are made.
fn has(features: &[String]) -> bool {
    #[cfg(target_arch = "x86_64")]
    return features == ["avx512f"] && std::arch::is_x86_feature_detected!("avx512f");
    #[cfg(not(target_arch = "x86_64"))]
    return features.is_empty();
}

#[test]
fn fifty_steps_of_every_configuration() {
    let golden: Golden = serde_json::from_str(include_str!("golden/losses.json")).unwrap();
    let exact = has(&golden.features);
    for case in cases() {
        let case = Case { egnn: Egnn { layers: 4, ..case.egnn.clone() }, ..case };
        for work in [EdgeWork::Fused, EdgeWork::Composed] {
            let name = format!("{}, {work:?}", case.name).to_lowercase();
            let expected = &golden.losses[&name];
            let found = losses(&case, work);
            assert_eq!(found.len(), expected.len());
            for (step, (found, expected)) in found.iter().zip(expected).enumerate() {
                let near = if exact { found == expected } else { (found - expected).abs() < 1e-3 * expected };
                assert!(near, "{name}, step {step}: {found} instead of {expected}");
            }
        }
    }
}
