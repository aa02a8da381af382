//! However many ranks share the work, and whatever they share of the memory, training is the same.

use std::sync::Arc;
use std::time::Duration;

use isograd_comm::{Communicator, Solo, Staged, spawn};
use isograd_data::{Sizes, cut, share};
use isograd_engine::zero::{HeldBytes, Sharded, Train, View, Zero};
use isograd_engine::{OptimizerConfig, OptimizerKind, Recompute, clip_scale};
use isograd_models::ModelBackend;
use isograd_ops::device::{CpuBackend, F64Backend};
use isograd_tasks::LabelCounts;
use isograd_train::{Batch, LossGradient, Place, Step, agree};

use crate::Subject;
use crate::batches::{Labelled, batch, graphs};

/// How long ranks wait for one another.
const PATIENCE: Duration = Duration::from_secs(120);

/// What is trained on: batches of seven graphs and of one, which is too few for all ranks; two batches a step.
const BATCHES: [&[usize]; 4] = [&[0, 1, 2, 3, 4, 5, 6], &[7], &[3, 1, 7], &[2, 5]];

/// How a course is cut.
#[derive(Debug, Clone, Copy)]
pub struct Cut {
    /// What ranks own a piece of.
    pub zero: Zero,
    /// How weights are changed.
    pub optimizer: OptimizerKind,
    /// Which activations are computed again.
    pub recompute: Recompute,
    /// Parts of a batch that are differentiated side by side.
    pub parts: usize,
    /// Steps.
    pub steps: usize,
}

impl Cut {
    /// Nothing is.
    pub fn none(optimizer: OptimizerKind, steps: usize) -> Self {
        Self { zero: Zero::Off, optimizer, recompute: Recompute::None, parts: 1, steps }
    }
}

/// What came of a course.
#[derive(Debug, Clone, PartialEq)]
pub struct Course {
    /// Of each step, of all ranks together.
    pub losses: Vec<f64>,
    /// At the end.
    pub weights: Vec<Vec<f64>>,
    /// Their averages.
    pub averages: Vec<Vec<f64>>,
    /// What this rank holds between steps.
    pub held: HeldBytes,
}

/// Trains as one rank of several.
///
/// # Panics
/// If ranks lose each other.
pub fn train<B: ModelBackend>(subject: &Subject, comm: Arc<dyn Communicator<B>>, way: Cut) -> Course {
    let device = Default::default();
    let model = subject.model();
    let graphs = graphs(subject);
    let size = |(graph, _): &Labelled| Sizes { atoms: graph.species.len(), edges: graph.edges.senders.len() };
    let sizes: Vec<Sizes> = graphs.iter().map(size).collect();
    let optimizer = OptimizerConfig { kind: way.optimizer, ..OptimizerConfig::default() };
    let settings = Train { optimizer, ema_decay: 0.9, zero: way.zero };
    let mut sharded = Sharded::<B>::new(model.layout(comm.size()), 5, comm.clone(), &settings, &device);
    let segments = way.recompute.segments(sharded.layout().blocks());
    let task = subject.task();
    let terms = task.terms();
    let failed = |error: isograd_train::Error| -> ! { panic!("{}: {error}", subject.name) };
    let gradient = LossGradient::new(&model, &task.targets, Place::Here, &device);
    let mut losses = Vec::new();
    for number in 1..=way.steps {
        let pair = &BATCHES[2 * (number % 2)..][..2];
        let counts: LabelCounts = pair.iter().map(|members| batch(subject, &graphs, members).labels.counts()).sum();
        let own = |members: &&[usize]| {
            let own = share(members, &sizes, comm.size()).swap_remove(comm.rank());
            cut(&own, &sizes, way.parts).iter().map(|part| batch(subject, &graphs, part)).collect::<Vec<Batch>>()
        };
        let batches: Vec<Vec<Batch>> = pair.iter().map(own).collect();
        let (targets, counts) = (&task.targets, &counts);
        let step = Step { targets, terms: &terms, batches: &batches, counts, segments: &segments };
        let found = sharded.gradients(2, |weights, sink| gradient.accumulate(weights, &step, sink));
        let (loss, gradients) = found.unwrap_or_else(|error| failed(error));
        let all = agree::numbers(&*comm, [loss, sharded.squares(&gradients)]).unwrap_or_else(|error| failed(error));
        let [loss, squares] = all.iter().fold([0.0; 2], |sum, own| [sum[0] + own[0], sum[1] + own[1]]);
        // A limit that clips some steps and not others.
        let scale = clip_scale(squares.sqrt(), 8.0);
        sharded.update(number, 2e-3, gradients, scale).unwrap_or_else(|error| failed(error.into()));
        losses.push(loss);
    }
    let values = |view: View<'_, B>| -> Vec<Vec<f64>> {
        let block = |block| view.block(block).unwrap_or_else(|error| failed(error.into()));
        let all = (0..view.layout().blocks()).flat_map(block);
        all.map(|values| values.into_data().iter::<f64>().collect()).collect()
    };
    let averages = sharded.averaged().map_or_else(Vec::new, values);
    Course { losses, weights: values(sharded.latest()), averages, held: sharded.held() }
}

/// The courses of so many ranks that are threads.
///
/// # Panics
/// If ranks lose each other.
pub fn train_threads<B: ModelBackend>(subject: &Subject, ranks: usize, way: Cut) -> Vec<Course> {
    spawn(ranks, PATIENCE, |transport| {
        let comm = Staged::<B>::start(move || Ok(transport)).unwrap_or_else(|error| panic!("{error}"));
        train(subject, Arc::new(comm), way)
    })
}

/// Compares a course with that of one rank; losses may differ by `tolerance` times their size. Returns by how much they do.
///
/// # Panics
/// Where they differ by more.
pub fn compare(name: &str, found: &Course, expected: &Course, tolerance: f64) -> f64 {
    let mut worst = 0.0f64;
    for (step, (a, b)) in found.losses.iter().zip(&expected.losses).enumerate() {
        worst = worst.max((a - b).abs() / b);
        assert!(worst <= tolerance, "{name}, step {step}: {a} instead of {b}");
    }
    let pairs = found.weights.iter().zip(&expected.weights);
    for (a, b) in pairs.chain(found.averages.iter().zip(&expected.averages)) {
        let size = b.iter().fold(1e-3f64, |size, value| size.max(value.abs()));
        let error = a.iter().zip(b).fold(0.0f64, |largest, (a, b)| largest.max((a - b).abs())) / size;
        assert!(error < 100.0 * tolerance, "{name}: weights differ by {error:e} of their size");
    }
    worst
}

/// Trains as one, two and three ranks at every ZeRO level, in single precision.
///
/// # Panics
/// Where the course depends on that.
pub fn agree(subject: &Subject) {
    agree_in::<CpuBackend>(subject, 10, 2e-5, &[1, 2, 3]);
}

/// The same in double precision, where differences are those of rounding and of nothing else.
///
/// # Panics
/// As [`agree()`].
pub fn agree_in_f64(subject: &Subject) {
    agree_in::<F64Backend>(subject, 10, 1e-9, &[2, 3]);
}

fn agree_in<B: ModelBackend>(subject: &Subject, steps: usize, tolerance: f64, ranks: &[usize]) {
    let kinds = [(OptimizerKind::Adamw, Recompute::Layer, 1), (OptimizerKind::Muon, Recompute::None, 2)];
    for (optimizer, recompute, parts) in kinds {
        let expected = train::<B>(subject, Arc::new(Solo), Cut::none(optimizer, steps));
        for &ranks in ranks {
            for zero in Zero::ALL {
                let parts = if zero.shards_weights() { 1 } else { parts };
                let all = train_threads::<B>(subject, ranks, Cut { zero, optimizer, recompute, parts, steps });
                let name = format!("{}, R = {ranks}, ZeRO {zero}, {recompute}, {optimizer:?}", subject.name);
                for found in &all {
                    let same = (&found.losses, &found.weights, &found.averages)
                        == (&all[0].losses, &all[0].weights, &all[0].averages);
                    assert!(same, "{name}: ranks do not know the same to the bit");
                }
                compare(&name, &all[0], &expected, tolerance);
            }
        }
    }
}
