//! One training step (forward, backward, AdamW), or a prediction, on a random graph with a fixed number of
//! neighbours per node: an energy head and forces; of an EGNN with coordinate updates in every layer.

use std::time::Instant;

use burn::tensor::Tensor;
use isograd_data::{HeadRange, HostBatch};
use isograd_engine::{Collect, Flow, Optimizer, OptimizerConfig, Recompute, Walk};
use isograd_models::{Graph, GraphSizes, Invalid, ModelBackend, Registry, floats};
use isograd_ops::memory::reset_peak;
use isograd_ops::value::EdgeWork;
use isograd_structure::{Cell, Element, Geometry, neighbour_list};
use isograd_tasks::{Forces, Model, Network, Nodes, TrunkInfo, potential_targets};
use isograd_train::{Backend, MemoryPlan, MemoryWorkload, Place};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

/// Elements of the synthetic graph, as many as the embedding has rows.
const ELEMENTS: i64 = 100;

/// The kind of the study that benchmarks are compared with, arXiv:2504.08112: measured unless another is named, with
/// coordinate updates in every layer, and the one whose operations are counted.
pub const STUDY_KIND: &str = "egnn";

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepConfig {
    /// `[model] kind`.
    pub kind: String,
    /// Where forces come from.
    pub forces: Forces,
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
    pub message: EdgeWork,
    /// Which activations are recomputed.
    pub recompute: Recompute,
    /// Whether energies and forces are predicted, and nothing is trained.
    pub predict: bool,
}

impl StepConfig {
    /// The model, with an energy head: the study's kind with coordinate updates in every layer, or another with its
    /// defaults but for width, layers and cutoff.
    ///
    /// # Errors
    /// The key and what was expected, if there is no such model.
    pub fn model(&self) -> Result<Model, (&'static str, String)> {
        let wrong = |invalid: Invalid| {
            let key = ["layers", "kind", "forces"].into_iter().find(|key| *key == invalid.key).unwrap_or("width");
            (key, invalid.message)
        };
        let architecture = Registry::default().make(&self.kind, self.options()).map_err(wrong)?;
        let elements = (1..=ELEMENTS).filter_map(Element::from_number).collect();
        let trunk = TrunkInfo::new(&*architecture, Nodes::Elements(elements), 1, self.forces);
        trunk.model_of(architecture, potential_targets(), self.message).map_err(wrong)
    }

    /// The hyper-parameters that are not left at their defaults.
    fn options(&self) -> Json {
        let mut options = json!({ "width": self.width, "layers": self.layers, "cutoff": 1.0 });
        if self.kind == STUDY_KIND {
            options["basis"] = json!({ "kind": "squared_distance" });
            options["envelope"] = "none".into();
            options["coordinate_updates"] = true.into();
        }
        options
    }

    /// Where forces of a kind come from unless it is said: displacements of the study's, direct ones of others.
    pub fn usual_forces(kind: &str) -> Forces {
        if kind == STUDY_KIND { Forces::Displacement } else { Forces::Direct }
    }

    /// The size of the graph.
    pub fn sizes(&self) -> GraphSizes {
        let [nodes, edges] = [self.nodes, self.nodes * self.degree].map(|count| count as u64);
        GraphSizes { graphs: 1, nodes, edges }
    }

    /// Operations of the square matrix products of a step of the study's kind; `None` of another. A layer multiplies edges
    /// by two matrices, by one where nothing is read from its messages, and nodes by five; the readout by one more.
    ///
    /// A product on edges is made forward, again in backward, and for the gradients of each factor: 4 times 2 E F^2. With
    /// forces that are a gradient, a first walk makes it 3 times, and a second one over values and tangents 8 times. Nothing
    /// is made again of a product on nodes: 3 times 2 N F^2, or 2 and 6 times. A prediction is made of the first of these
    /// walks alone.
    pub fn gemm_flops(&self) -> Option<f64> {
        if self.kind != STUDY_KIND {
            return None;
        }
        let [nodes, degree, width, layers] = [self.nodes, self.degree, self.width, self.layers].map(|size| size as f64);
        let (edges, square) = (nodes * degree, width * width);
        let (on_edges, [per_edge, per_node]) = match (self.forces, self.predict) {
            (Forces::Gradient, false) => (2.0 * layers - 1.0, [11.0, 8.0]),
            (Forces::Gradient, true) => (2.0 * layers - 1.0, [3.0, 2.0]),
            (Forces::Direct | Forces::Displacement, false) => (2.0 * layers, [4.0, 3.0]),
            (Forces::Direct | Forces::Displacement, true) => (2.0 * layers, [1.0, 1.0]),
        };
        Some(2.0 * square * (on_edges * per_edge * edges + (5.0 * layers + 1.0) * per_node * nodes))
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
    pub message: EdgeWork,
    /// Which activations are recomputed.
    pub recompute: Recompute,
    /// `[model] kind`.
    pub kind: String,
    /// Where forces come from.
    pub forces: Forces,
    /// Whether energies and forces were predicted, and nothing trained.
    pub predict: bool,
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
    /// `[E, F]`, see [`StepConfig::gemm_flops`]. None of other kinds than `egnn`.
    pub gemm_flops: Option<f64>,
    /// These over the median.
    pub gemm_flops_per_second: Option<f64>,
    /// Most bytes held at once, where the backend can tell.
    pub peak_bytes: Option<u64>,
    /// What the memory plan says of it; none where the model cannot tell.
    pub plan: Option<MemoryPlan>,
    /// Loss of the last step; none where it has no value, because the sums over the neighbours of a deep and
    /// dense random graph outgrow single precision.
    pub loss: Option<f64>,
    /// Medians of the parts of a step, in seconds; null where there are none.
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

/// Times training steps on `device`, on threads as training has them.
///
/// # Errors
/// The key and what was expected, if the config makes no model.
pub fn bench_step<B: Backend>(config: &StepConfig, device: &B::Device) -> Result<StepReport, (&'static str, String)> {
    Place::of_rank::<B>(device, 1).run(|| measured::<B>(config, device))
}

fn measured<B: Backend>(config: &StepConfig, device: &B::Device) -> Result<StepReport, (&'static str, String)> {
    for (key, value) in [("nodes", config.nodes), ("degree", config.degree), ("steps", config.steps)] {
        if value == 0 {
            return Err((key, "is 0, expected at least 1".into()));
        }
    }
    let model = config.model()?;
    reset_peak();
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let host = random_graph(config, &mut rng);
    let targets: Vec<f32> = (0..3 * config.nodes).map(|_| rng.random_range(-1.0..1.0)).collect();
    let graph = Graph::<B::Tracked>::new(&host, ELEMENTS as usize, device);
    let target: Tensor<B::Tracked, 2> = floats(&targets, [config.nodes, 3], device);
    let work = MemoryWorkload::of_step(model.clone(), config.sizes(), B::profile(device));
    let network = Network::<B>::new(&model);
    let mut weights = work.layout.whole::<B>(0, device);
    let segments = work.segments(config.recompute);
    let mut optimizer = Optimizer::<B>::new(&OptimizerConfig::default(), work.layout.parameters());

    let mut seconds = Vec::new();
    let mut parts: [Vec<f64>; 4] = Default::default();
    let (crystal, cutoff) = crystal(config, &mut rng);
    let mut last = f64::NAN;
    for round in 0..config.warmup + config.steps {
        let mut clock = Clock::<B>::new(device);
        if config.predict {
            network
                .predict(&work.layout.view(&weights), &host, device)
                .map_err(|error| ("predict", error.to_string()))?;
            let whole = clock.lap();
            if let Some(failure) = clock.failure {
                return Err(("device", format!("failed at its work: {failure}")));
            }
            if round >= config.warmup {
                seconds.push(whole);
                parts[1].push(whole);
            }
            continue;
        }
        let mut forward = 0.0;
        let loss = |mut flow: Flow<B::Tracked>| {
            let energy = flow.need("energy").into_tensor().div_scalar(config.nodes as f64);
            let error = flow.need("forces").into_tensor() - target.clone();
            let loss = (energy.clone() * energy).sum() + (error.clone() * error).mean();
            forward = clock.lap();
            loss
        };
        let walk = Walk { segments: &segments, random: None };
        let mut sink = Collect::new(network.len());
        let value = network
            .value_and_grad(&work.layout.view(&weights), &graph, walk, loss, &mut sink)
            .map_err(|error| ("recompute", error.to_string()))?;
        let backward = clock.lap();
        weights = optimizer.step(weights, 1e-3, sink.gradients(), 1.0);
        let update = clock.lap();
        if let Some(failure) = clock.failure {
            return Err(("device", format!("failed at its work: {failure}")));
        }
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
        kind: config.kind.clone(),
        forces: config.forces,
        predict: config.predict,
        nodes: config.nodes,
        edges,
        width: config.width,
        layers: config.layers,
        parameters: work.layout.count(),
        step_seconds_median: typical,
        step_seconds_min: fastest,
        edges_per_second: edges as f64 / typical,
        gemm_flops: config.gemm_flops(),
        gemm_flops_per_second: config.gemm_flops().map(|operations| operations / typical),
        peak_bytes: B::peak_bytes(device),
        plan: if config.predict { None } else { work.plan(config.recompute) },
        loss: last.is_finite().then_some(last),
        parts: Parts { neighbours, forward, backward, optimizer },
    })
}

/// Each node receives from `degree` random nodes; positions are uniform in a cube of edge 2.
pub(super) fn random_graph(config: &StepConfig, rng: &mut ChaCha8Rng) -> HostBatch {
    let (nodes, degree) = (config.nodes, config.degree);
    let positions: Vec<[f64; 3]> = (0..nodes).map(|_| std::array::from_fn(|_| rng.random_range(-1.0..1.0))).collect();
    let receivers: Vec<u32> = (0..nodes as u32).flat_map(|i| std::iter::repeat_n(i, degree)).collect();
    let senders: Vec<u32> = receivers.iter().map(|_| rng.random_range(0..nodes as u32)).collect();
    let vector = |i: u32, j: u32| -> [f64; 3] {
        std::array::from_fn(|axis| positions[j as usize][axis] - positions[i as usize][axis])
    };
    let vectors = receivers.iter().zip(&senders).flat_map(|(&i, &j)| vector(i, j)).collect();
    let edges = nodes * degree;
    let reads_positions = config.model().is_ok_and(|model| model.architecture().needs().positions);
    HostBatch {
        dims: 3,
        positions: if reads_positions { positions.as_flattened().to_vec() } else { Vec::new() },
        members: vec![0],
        sizes: vec![nodes],
        species: (0..nodes).map(|_| rng.random_range(0..ELEMENTS as u32)).collect(),
        graph_of_node: vec![0; nodes],
        offsets: (0..=nodes).map(|i| (i * degree) as u32).collect(),
        receivers,
        senders,
        vectors,
        heads: vec![HeadRange { head: 0, nodes: 0..nodes, edges: 0..edges }],
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
struct Clock<'a, B: ModelBackend> {
    device: &'a B::Device,
    start: Instant,
    /// What the device first reported instead of an end of its work.
    failure: Option<String>,
}

impl<'a, B: ModelBackend> Clock<'a, B> {
    fn new(device: &'a B::Device) -> Self {
        Self { device, start: Instant::now(), failure: None }
    }

    fn lap(&mut self) -> f64 {
        if let Err(error) = B::sync(self.device) {
            self.failure.get_or_insert(format!("{error:?}"));
        }
        let lap = self.start.elapsed().as_secs_f64();
        self.start = Instant::now();
        lap
    }
}

/// The middle one; not a number without any.
pub(super) fn median(mut values: Vec<f64>) -> f64 {
    if values.is_empty() {
        return f64::NAN;
    }
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { 0.5 * (values[middle - 1] + values[middle]) }
}
