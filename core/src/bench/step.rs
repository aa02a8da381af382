//! One training step (forward, backward, AdamW) on a random graph with a fixed number of
//! neighbours per node: an energy head, coordinate updates in every layer, displacements as forces.

use std::time::Instant;

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use isograd_backends::memory::{MeasuredBackend, reset_peak};
use isograd_structure::{Cell, Element, Geometry, neighbour_list};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

use crate::engine::Recompute;
use crate::graph::{GraphBatch, HeadRange, HostBatch, floats};
use crate::model::{self, Basis, BatchShape, Egnn, EgnnConfig, Envelope, ForceHead, MessageKind, Prediction};
use crate::train::{MemoryPlan, Optimizer, OptimizerConfig, Work, differentiate};

/// Elements of the synthetic graph, as many as the embedding has rows.
const ELEMENTS: i64 = 100;

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepConfig {
    /// N.
    pub nodes: usize,
    /// Edges per node.
    pub degree: usize,
    /// F.
    pub width: usize,
    /// L.
    pub layers: usize,
    /// Timed steps.
    pub steps: usize,
    /// Steps before them.
    pub warmup: usize,
    /// How the work on edges is done.
    pub message: MessageKind,
    /// Which activations are recomputed.
    pub recompute: Recompute,
}

impl StepConfig {
    /// The model: an energy head, coordinate updates in every layer, displacements as forces.
    pub fn model(&self) -> EgnnConfig {
        EgnnConfig {
            elements: (1..=ELEMENTS).filter_map(Element::from_number).collect(),
            width: self.width,
            layers: self.layers,
            cutoff: 1.0,
            basis: Basis::SquaredDistance,
            envelope: Envelope::None,
            attention: false,
            coordinate_updates: true,
            forces: ForceHead::Displacement,
            heads: 1,
            energy_scale: 1.0,
            force_scale: 1.0,
        }
    }

    /// Operations of the square matrix products of a step. A layer has two on edges: two forward, two again in
    /// backward, two for the gradients of each factor, 16 E F^2. On nodes it has five, the readout one more, each
    /// forward and twice backward, 6 N F^2 each.
    pub fn gemm_flops(&self) -> f64 {
        let [nodes, degree, width, layers] = [self.nodes, self.degree, self.width, self.layers].map(|size| size as f64);
        let (edges, square) = (nodes * degree, width * width);
        layers * 16.0 * edges * square + (5.0 * layers + 1.0) * 6.0 * nodes * square
    }
}

/// What was measured; the keys are a contract with scripts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StepReport {
    /// Program and version.
    pub framework: String,
    /// Backend.
    pub device: String,
    /// Threads of the CPU.
    pub threads: usize,
    /// Type of the numbers.
    pub dtype: String,
    /// How messages are computed.
    pub message: MessageKind,
    /// Which activations are recomputed.
    pub recompute: Recompute,
    /// N.
    pub nodes: usize,
    /// E.
    pub edges: usize,
    /// F.
    pub width: usize,
    /// L.
    pub layers: usize,
    /// Scalars in the model.
    pub parameters: usize,
    /// Median over the timed steps.
    pub step_seconds_median: f64,
    /// Fastest timed step.
    pub step_seconds_min: f64,
    /// E over the median.
    pub edges_per_second: f64,
    /// Operations of the matrix products that a step cannot do without while it holds nothing of size
    /// `[E, F]`: per layer 16 E F^2 on edges and 30 N F^2 on nodes, and 6 N F^2 of the readout.
    pub gemm_flops: f64,
    /// These over the median.
    pub gemm_flops_per_second: f64,
    /// Most bytes held at once, where the backend can tell.
    pub peak_bytes: Option<u64>,
    /// What the memory plan says of it.
    pub plan: MemoryPlan,
    /// Loss of the last step; none where it has no value, because the sums over the neighbours of a deep and
    /// dense random graph outgrow single precision.
    pub loss: Option<f64>,
    /// Medians of the parts of a step, in seconds.
    pub parts: Parts,
}

/// Where the time of a step goes.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Parts {
    /// The neighbour list of a periodic structure with as many atoms and, on average, as many
    /// neighbours. Not part of the step: it is made beside the last one.
    pub neighbours: f64,
    /// Prediction and loss.
    pub forward: f64,
    /// Gradients.
    pub backward: f64,
    /// Update of the parameters.
    pub optimizer: f64,
}

/// Times training steps on `device`.
///
/// # Errors
/// The key and what was expected, if the config makes no model.
pub fn bench_step<B: MeasuredBackend<FloatElem = f32>>(
    config: &StepConfig,
    device: &B::Device,
) -> Result<StepReport, (&'static str, String)> {
    for (key, value) in [("nodes", config.nodes), ("degree", config.degree), ("steps", config.steps)] {
        if value == 0 {
            return Err((key, "is 0, expected at least 1".into()));
        }
    }
    let egnn = config.model();
    egnn.validate()?;
    reset_peak();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let host = random_graph(config, &mut rng);
    let targets: Vec<f32> = (0..3 * config.nodes).map(|_| rng.random_range(-1.0..1.0)).collect();
    let graph = GraphBatch::<Autodiff<B>>::new(&host, ELEMENTS as usize, device);
    let target: Tensor<Autodiff<B>, 2> = floats(&targets, [config.nodes, 3], device);
    let mut model = Egnn::<Autodiff<B>>::new(&egnn, 0, device);
    model.message = config.message;
    let parameters = model::count(&model);
    let work = work::<B>(config, egnn, device);
    let segments = work.segments(config.recompute);
    let mut optimizer = Optimizer::<B>::new(&OptimizerConfig::default());

    let mut seconds = Vec::new();
    let mut parts: [Vec<f64>; 4] = Default::default();
    let (crystal, cutoff) = crystal(config, &mut rng);
    let mut last = f64::NAN;
    for round in 0..config.warmup + config.steps {
        let mut clock = Clock::<B>::new(device);
        let mut forward = 0.0;
        let loss = |prediction: Prediction<Autodiff<B>>| {
            let energy = prediction.energies.div_scalar(config.nodes as f64);
            let error = prediction.forces - target.clone();
            let loss = (energy.clone() * energy).sum() + (error.clone() * error).mean();
            forward = clock.lap();
            loss
        };
        let differentiated = differentiate(&model, &graph, &segments, loss);
        let (value, gradients) = differentiated.map_err(|error| ("recompute", error.to_string()))?;
        let backward = clock.lap();
        model = optimizer.step(model, 1e-3, gradients, 1.0);
        let update = clock.lap();
        last = value;
        if round >= config.warmup {
            let start = Instant::now();
            neighbour_list(&crystal, cutoff).map_err(|error| ("nodes", error.to_string()))?;
            let neighbours = start.elapsed().as_secs_f64();
            seconds.push(forward + backward + update);
            for (part, value) in parts.iter_mut().zip([neighbours, forward, backward, update]) {
                part.push(value);
            }
        }
    }
    let [neighbours, forward, backward, optimizer] = parts.map(median);
    let edges = host.edges();
    let fastest = seconds.iter().copied().fold(f64::INFINITY, f64::min);
    let typical = median(seconds);
    Ok(StepReport {
        framework: format!("isograd {}", env!("CARGO_PKG_VERSION")),
        device: B::name(device),
        threads: rayon::current_num_threads(),
        dtype: "f32".into(),
        message: config.message,
        recompute: config.recompute,
        nodes: config.nodes,
        edges,
        width: config.width,
        layers: config.layers,
        parameters,
        step_seconds_median: typical,
        step_seconds_min: fastest,
        edges_per_second: edges as f64 / typical,
        gemm_flops: config.gemm_flops(),
        gemm_flops_per_second: config.gemm_flops() / typical,
        peak_bytes: B::peak_bytes(device),
        plan: work.plan(config.recompute),
        loss: last.is_finite().then_some(last),
        parts: Parts { neighbours, forward, backward, optimizer },
    })
}

/// What decides the memory of a step.
fn work<B: MeasuredBackend>(config: &StepConfig, model: EgnnConfig, device: &B::Device) -> Work {
    let [atoms, edges] = [config.nodes, config.nodes * config.degree].map(|count| count as u64);
    Work {
        model,
        message: config.message,
        profile: B::profile(device),
        batch: BatchShape { graphs: 1, atoms, edges },
        parts: 1,
        accumulate: 1,
        waiting: 0,
        average: false,
        ranks: 1,
        zero: 0,
    }
}

/// Each node receives from `degree` random nodes; positions are uniform in a cube of edge 2.
pub(super) fn random_graph(config: &StepConfig, rng: &mut ChaCha8Rng) -> HostBatch {
    let (nodes, degree) = (config.nodes, config.degree);
    let positions: Vec<[f64; 3]> = (0..nodes).map(|_| std::array::from_fn(|_| rng.random_range(-1.0..1.0))).collect();
    let receivers: Vec<i32> = (0..nodes as i32).flat_map(|i| std::iter::repeat_n(i, degree)).collect();
    let senders: Vec<i32> = receivers.iter().map(|_| rng.random_range(0..nodes as i32)).collect();
    let vector = |i: i32, j: i32| -> [f64; 3] {
        std::array::from_fn(|axis| positions[j as usize][axis] - positions[i as usize][axis])
    };
    let vectors = receivers.iter().zip(&senders).flat_map(|(&i, &j)| vector(i, j)).collect();
    let edges = nodes * degree;
    HostBatch {
        members: vec![0],
        sizes: vec![nodes],
        species: (0..nodes).map(|_| rng.random_range(0..ELEMENTS as i32)).collect(),
        graph_of_atom: vec![0; nodes],
        offsets: (0..=nodes).map(|i| (i * degree) as i32).collect(),
        receivers,
        senders,
        vectors,
        heads: vec![HeadRange { head: 0, atoms: 0..nodes, edges: 0..edges }],
        ..Default::default()
    }
}

/// A periodic cube of random atoms, and a cutoff within which each has `degree` neighbours on average.
fn crystal(config: &StepConfig, rng: &mut ChaCha8Rng) -> (Geometry, f64) {
    let positions = (0..config.nodes).map(|_| std::array::from_fn(|_| rng.random_range(0.0..1.0))).collect();
    let cell = Cell([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]);
    let density = config.nodes as f64 * 4.0 / 3.0 * std::f64::consts::PI;
    (Geometry { positions, cell: Some(cell), periodic: [true; 3] }, (config.degree as f64 / density).cbrt())
}

/// Laps that wait until the device has done all its work.
struct Clock<'a, B: Backend> {
    device: &'a B::Device,
    start: Instant,
}

impl<'a, B: Backend> Clock<'a, B> {
    fn new(device: &'a B::Device) -> Self {
        Self { device, start: Instant::now() }
    }

    fn lap(&mut self) -> f64 {
        // A failed synchronisation surfaces when the loss is read.
        let _ = B::sync(self.device);
        let lap = self.start.elapsed().as_secs_f64();
        self.start = Instant::now();
        lap
    }
}

pub(super) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { 0.5 * (values[middle - 1] + values[middle]) }
}
