//! A model in training that is written down and read back goes on as if nothing had happened.

use std::collections::HashMap;
use std::sync::Arc;

use burn::tensor::Tensor;
use isograd_comm::Solo;
use isograd_engine::zero::{Sharded, Train, Zero};
use isograd_engine::{OptimizerConfig, OptimizerKind, Recompute};
use isograd_ops::device::CpuBackend;
use isograd_train::{Batch, LossGradient, Place, Step};

use crate::Subject;
use crate::batches::{batch, graphs};

/// Compares ten steps in one piece with five, the state taken out and put into another model, and five more.
///
/// # Panics
/// Where bits differ.
pub fn agrees(subject: &Subject) {
    for optimizer in [OptimizerKind::Adamw, OptimizerKind::Muon] {
        agrees_with(subject, optimizer);
    }
}

fn agrees_with(subject: &Subject, optimizer: OptimizerKind) {
    let start = |seed| start(subject, optimizer, seed);
    let mut whole = start(5);
    let expected: Vec<f64> = (1..=10).map(|number| step(subject, &mut whole, number)).collect();

    let mut first = start(5);
    let mut found: Vec<f64> = (1..=5).map(|number| step(subject, &mut first, number)).collect();
    let (steps, groups) = first.state();
    let groups: HashMap<&str, Vec<Option<Tensor<CpuBackend, 1>>>> = groups.into_iter().collect();
    // Other weights, all of which must be replaced.
    let mut second = start(6);
    let read = |group: &str, fragments: &[isograd_engine::Fragment], _: usize| -> Result<_, isograd_engine::Error> {
        Ok(groups[group].get(fragments[0].parameter).cloned().flatten())
    };
    second.restore(steps, read).unwrap_or_else(|error| panic!("{}: {error}", subject.name));
    found.extend((6..=10).map(|number| step(subject, &mut second, number)));
    assert_eq!(found, expected, "{}, {optimizer:?}: losses after going on", subject.name);
}

fn start(subject: &Subject, kind: OptimizerKind, seed: u64) -> Sharded<CpuBackend> {
    let optimizer = OptimizerConfig { kind, ..OptimizerConfig::default() };
    let settings = Train { optimizer, ema_decay: 0.9, zero: Zero::Off };
    Sharded::new(subject.model().layout(1), seed, Arc::new(Solo), &settings, &Default::default())
}

fn step(subject: &Subject, sharded: &mut Sharded<CpuBackend>, number: usize) -> f64 {
    let device = Default::default();
    let model = subject.model();
    let batches: [Vec<Batch>; 1] = [vec![batch(subject, &graphs(subject), &[1, 2, 5])]];
    let task = subject.task();
    let terms = task.terms();
    let counts = batches[0][0].labels.counts();
    let segments = Recompute::None.segments(sharded.layout().blocks());
    let step = Step { targets: &task.targets, terms: &terms, batches: &batches, counts: &counts, segments: &segments };
    let gradient = LossGradient::new(&model, &task.targets, Place::Here, &device);
    let found = sharded.gradients(1, |weights, sink| gradient.accumulate(weights, &step, sink));
    let (loss, gradients) = found.unwrap_or_else(|error: isograd_train::Error| panic!("{}: {error}", subject.name));
    sharded.update(number, 2e-3, gradients, 1.0).unwrap_or_else(|error| panic!("{}: {error}", subject.name));
    loss
}
