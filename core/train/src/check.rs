//! A model under the equivariance harness: what it claims, and how the harness evaluates it.

use burn::tensor::backend::BackendTypes;
use burn::tensor::{DType, Element as _, Tensor};
use isograd_data::{HostBatch, HostEdges, HostGraph, radius_graph};
use isograd_engine::Layout;
use isograd_equivariance::{
    Description, Failure, Model as Checkable, Outputs, Precision, Report, Rows, Settings, System, check,
};
use isograd_models::ModelBackend;
use isograd_ops::device::F64Backend;
use isograd_structure::{Cell, Geometry, neighbour_list};
use isograd_tasks::{Kind, Level, Model, Network, Nodes, Of, Target, Trained};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Distances between atoms in the harness's inputs, in angstrom: short, as in hot molecules.
const SPACING: f64 = 0.8;

/// Edges of systems that are evaluated together, where these are more than two: double precision has no fused operations, and holds
/// tensors of all edges.
const EDGES_AT_ONCE: usize = 4096;

/// Cases per property after every training run.
pub const CASES_AFTER_TRAINING: usize = 32;

/// The battery of [`isograd_equivariance`] on a trained model.
pub fn check_model<B: ModelBackend>(trained: &Trained<B>, device: &B::Device, settings: &Settings) -> Report {
    let Trained { model, layout, weights, info } = trained;
    let heads = (0..model.inputs().heads).map(|head| {
        let source = info.sources.iter().find(|source| source.head == head);
        source.map_or_else(|| head.to_string(), |source| source.name.clone())
    });
    let (heads, targets) = (heads.collect::<Vec<_>>(), &info.task.targets);
    let here = Default::default();
    let in_double = |weights: &Tensor<B, 1>| Tensor::from_data(weights.to_data().convert::<f64>(), &here);
    let twins: Vec<Tensor<F64Backend, 1>> = weights.iter().map(in_double).collect();
    let mut model = Checked::new(model, layout, weights, targets, heads.clone(), device);
    let mut twin = Checked::new(&trained.model, layout, &twins, targets, heads, &here);
    // Only structures have cells.
    let structures = matches!(info.model.nodes, Nodes::Elements(_));
    (model.periodic, twin.periodic) = (model.periodic && structures, twin.periodic && structures);
    check(&WithTwin { model, twin }, settings)
}

/// A model and the same model in double precision, which tells rounding from mistakes.
pub struct WithTwin<'a, B: ModelBackend> {
    /// The model.
    pub model: Checked<'a, B>,
    /// With the same weights.
    pub twin: Checked<'a, F64Backend>,
}

impl<B: ModelBackend> Checkable for WithTwin<'_, B> {
    fn describe(&self) -> Description {
        self.model.describe()
    }

    fn evaluate(&self, batch: &[System]) -> Result<Vec<Outputs>, Failure> {
        self.model.evaluate(batch)
    }

    fn evaluate_shuffled(&self, batch: &[System], seed: u64) -> Option<Result<Vec<Outputs>, Failure>> {
        self.model.evaluate_shuffled(batch, seed)
    }

    fn evaluate_f64(&self, batch: &[System]) -> Option<Result<Vec<Outputs>, Failure>> {
        Some(self.twin.evaluate(batch))
    }

    fn evaluate_shuffled_f64(&self, batch: &[System], seed: u64) -> Option<Result<Vec<Outputs>, Failure>> {
        self.twin.evaluate_shuffled(batch, seed)
    }
}

/// A model as the harness sees it: species are rows of its embedding; energies are without
/// references; every head is asked. In three dimensions systems may be periodic, in others they are not.
pub struct Checked<'a, B: ModelBackend> {
    model: &'a Model,
    layout: &'a Layout,
    weights: &'a [Tensor<B, 1>],
    network: Network<B>,
    targets: &'a [Target],
    heads: Vec<String>,
    device: &'a B::Device,
    /// Whether systems may repeat in space.
    periodic: bool,
}

impl<'a, B: ModelBackend> Checked<'a, B> {
    /// A model with these weights, flat, whose heads have these names.
    ///
    /// # Panics
    /// If the model has another number of heads.
    pub fn new(
        model: &'a Model,
        layout: &'a Layout,
        weights: &'a [Tensor<B, 1>],
        targets: &'a [Target],
        heads: Vec<String>,
        device: &'a B::Device,
    ) -> Self {
        assert_eq!(heads.len(), model.inputs().heads, "Checked: one name per head");
        let periodic = model.inputs().dims == 3;
        Self { model, layout, weights, network: Network::new(model), targets, heads, device, periodic }
    }

    fn run(&self, batch: &[System], reorder: impl Fn(&mut HostEdges)) -> Result<Vec<Outputs>, Failure> {
        let (cutoff, dims) = (self.model.architecture().needs().cutoff, self.model.inputs().dims);
        let mut lists = Vec::with_capacity(batch.len());
        for system in batch {
            let mut edges = match dims {
                3 => neighbour_list(&geometry(system), cutoff)?.into(),
                _ => radius_graph(&flat(&system.positions), dims, cutoff),
            };
            reorder(&mut edges);
            lists.push(edges);
        }
        let mut answers = Vec::with_capacity(batch.len());
        while answers.len() < batch.len() {
            let rest = answers.len()..batch.len();
            let count = together(lists[rest.clone()].iter().map(|edges| edges.senders.len()));
            let own = rest.start..rest.start + count;
            answers.extend(self.answers(&batch[own.clone()], &lists[own])?);
        }
        Ok(answers)
    }

    /// What the model says of systems with these edges, all at once.
    fn answers(&self, batch: &[System], lists: &[HostEdges]) -> Result<Vec<Outputs>, Failure> {
        let needs = self.model.architecture().needs();
        let dims = self.model.inputs().dims;
        let mut answers: Vec<Outputs> = vec![Vec::new(); batch.len()];
        for head in 0..self.heads.len() {
            let graph = |(system, edges): (&System, &HostEdges)| HostGraph {
                species: system.species.clone(),
                edges: edges.clone(),
                head,
                positions: if needs.positions { flat(&system.positions) } else { Vec::new() },
                velocities: if needs.velocities { flat(&system.vectors[0]) } else { Vec::new() },
                volume: system.cell.is_some().then(|| geometry(system).cell.map(|cell| cell.volume())).flatten(),
                dims,
            };
            let graphs: Vec<HostGraph> = batch.iter().zip(lists).map(graph).collect();
            let members: Vec<usize> = (0..batch.len()).collect();
            let joined = HostBatch::new(&members, &graphs);
            let weights = self.layout.view(self.weights);
            let found = self.network.predict(&weights, &joined, self.device);
            let mut flow = found.map_err(|error| error.to_string())?;
            for target in self.targets {
                let values: Vec<f64> = flow.need(&target.name).into_tensor().into_data().iter::<f64>().collect();
                let mut rest = values.as_slice();
                for (answer, sizes) in answers.iter_mut().zip(joined.sizes()) {
                    let (own, others) = rest.split_at(target.rows(sizes) * target.columns(dims));
                    rest = others;
                    // Edges have no order that stays when nodes change theirs.
                    let sum = || vec![own.iter().sum()];
                    answer.push(if target.level == Level::Edge { sum() } else { own.to_vec() });
                }
            }
        }
        Ok(answers)
    }
}

/// How many of the first systems, which have so many edges, are evaluated together: two, and more while their edges are few.
fn together(edges: impl Iterator<Item = usize>) -> usize {
    let sums = edges.scan(0, |sum, own| {
        *sum += own;
        Some(*sum)
    });
    sums.enumerate().take_while(|(place, sum)| *place < 2 || *sum <= EDGES_AT_ONCE).count()
}

/// Rows one after the other.
fn flat(rows: &Rows) -> Vec<f64> {
    rows.iter().flatten().copied().collect()
}

fn geometry(system: &System) -> Geometry {
    let three = |row: &[f64]| -> [f64; 3] { std::array::from_fn(|axis| row[axis]) };
    Geometry {
        positions: system.positions.iter().map(three).collect(),
        cell: system.cell.as_ref().map(|cell| Cell(std::array::from_fn(|k| three(cell.row(k))))),
        periodic: std::array::from_fn(|axis| system.periodic[axis]),
    }
}

/// Another order of the edges of each receiver.
fn shuffle(edges: &mut HostEdges, dims: usize, rng: &mut ChaCha8Rng) {
    let old = edges.clone();
    let mut order: Vec<usize> = (0..old.senders.len()).collect();
    for range in old.offsets.windows(2) {
        order[range[0] as usize..range[1] as usize].shuffle(rng);
    }
    edges.senders = order.iter().map(|&from| old.senders[from]).collect();
    edges.vectors = order.iter().flat_map(|&from| &old.vectors[dims * from..dims * (from + 1)]).copied().collect();
}

impl<B: ModelBackend> Checkable for Checked<'_, B> {
    fn describe(&self) -> Description {
        let species: Vec<u32> = (0..self.model.inputs().species.len() as u32).collect();
        let precision =
            if <B as BackendTypes>::FloatElem::dtype() == DType::F64 { Precision::F64 } else { Precision::F32 };
        let dims = self.model.inputs().dims;
        let mut description = Description::new(dims, precision)
            .species(&species)
            .cutoff(self.model.architecture().needs().cutoff)
            .spacing(SPACING)
            .nodes(2, 7)
            .translations(&[1.0, 100.0, 10_000.0])
            .batched();
        if self.periodic {
            description = description.periodic();
        }
        if self.model.architecture().needs().velocities {
            description = description.vectors(1);
        }
        for head in &self.heads {
            let named = |output: &str| match self.heads.len() {
                1 => output.to_owned(),
                _ => format!("{output}, {head}"),
            };
            for target in self.targets {
                let name = named(&target.name);
                description = match (target.level, target.kind) {
                    (Level::Graph, Kind::Scalar) if target.extensive => description.extensive_scalar(&name),
                    (Level::Graph, Kind::Tensor) => description.intensive_tensor(&name),
                    (Level::Graph, Kind::Vector) => description.extensive_vector(&name),
                    (Level::Graph, _) => description.intensive_scalar(&name),
                    (Level::Node, Kind::Vector) => description.node_vector(&name),
                    (Level::Node, _) => description.node_scalar(&name),
                    (Level::Edge, _) => description.extensive_scalar(&name),
                };
            }
            for derivative in self.model.derivatives() {
                let (energy, own) = (named(&derivative.energy), named(&derivative.target));
                description = match derivative.of {
                    Of::Positions => description.conservative(&energy, &own).zero_sum(&own).zero_torque(&own),
                    Of::Strain if self.periodic => description.stress_of(&energy, &own),
                    Of::Strain => description,
                };
            }
        }
        description
    }

    fn evaluate(&self, batch: &[System]) -> Result<Vec<Outputs>, Failure> {
        self.run(batch, |_| {})
    }

    fn evaluate_shuffled(&self, batch: &[System], seed: u64) -> Option<Result<Vec<Outputs>, Failure>> {
        Some(self.run(batch, |edges| shuffle(edges, self.model.inputs().dims, &mut ChaCha8Rng::seed_from_u64(seed))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_systems_are_evaluated_in_pairs_and_small_ones_together() {
        let of = |edges: &[usize]| together(edges.iter().copied());
        assert_eq!(of(&[9_000, 9_000, 1]), 2);
        assert_eq!(of(&[9_000]), 1);
        assert_eq!(of(&[1_000; 7]), 4);
        assert_eq!(of(&[40; 50]), 50);
    }
}
