//! A potential under the equivariance harness: what it claims, and how the harness evaluates it.

use burn::tensor::backend::Backend;
use burn::tensor::{DType, Element as _};
use isograd_backends::message::MessageBackend;
use isograd_equivariance::{Description, Failure, Model, Outputs, Precision, Report, Settings, System, check};
use isograd_structure::{Cell, Geometry, NeighbourList, neighbour_list};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::potential::Potential;
use crate::graph::{GraphBatch, HostBatch, HostGraph};
use crate::model::Egnn;

/// Distances between atoms in the harness's inputs, in angstrom: short, as in hot molecules.
const SPACING: f64 = 0.8;

/// Cases per property after every training run.
pub const CASES_AFTER_TRAINING: usize = 32;

/// The battery of [`isograd_equivariance`] on a trained potential.
pub fn check_potential<B: MessageBackend>(potential: &Potential<B>, device: &B::Device, settings: &Settings) -> Report {
    let heads = (0..potential.model.config.heads).map(|head| {
        let source = potential.info.sources.iter().find(|source| source.head == head);
        source.map_or_else(|| head.to_string(), |source| source.name.clone())
    });
    check(&Checked::new(&potential.model, heads.collect(), device), settings)
}

/// A model as the harness sees it: species are rows of its embedding; energies are without
/// references; every head is asked.
pub struct Checked<'a, B: Backend> {
    model: &'a Egnn<B>,
    heads: Vec<String>,
    device: &'a B::Device,
}

impl<'a, B: MessageBackend> Checked<'a, B> {
    /// A model whose heads have these names.
    ///
    /// # Panics
    /// If the model has another number of heads.
    pub fn new(model: &'a Egnn<B>, heads: Vec<String>, device: &'a B::Device) -> Self {
        assert_eq!(heads.len(), model.config.heads, "Checked: one name per head");
        Self { model, heads, device }
    }

    fn run(&self, batch: &[System], reorder: impl Fn(&mut NeighbourList)) -> Result<Vec<Outputs>, Failure> {
        let mut lists = Vec::with_capacity(batch.len());
        for system in batch {
            let mut edges = neighbour_list(&geometry(system), self.model.config.cutoff)?;
            reorder(&mut edges);
            lists.push(edges);
        }
        let mut answers: Vec<Outputs> = vec![Vec::new(); batch.len()];
        for head in 0..self.heads.len() {
            let graph = |(system, edges): (&System, &NeighbourList)| HostGraph {
                species: system.species.iter().map(|&species| species as i32).collect(),
                edges: edges.clone(),
                head,
                ..Default::default()
            };
            let graphs: Vec<HostGraph> = batch.iter().zip(&lists).map(graph).collect();
            let members: Vec<usize> = (0..batch.len()).collect();
            let elements = self.model.config.elements.len();
            let graph = GraphBatch::new(&HostBatch::new(&members, &graphs), elements, self.device);
            let prediction = self.model.forward(&graph);
            let host = |data: burn::tensor::TensorData| data.convert::<f64>().into_vec::<f64>();
            let energies = host(prediction.energies.into_data()).map_err(|error| format!("{error:?}"))?;
            let forces = host(prediction.forces.into_data()).map_err(|error| format!("{error:?}"))?;
            let mut rest = forces.as_slice();
            for ((answer, system), energy) in answers.iter_mut().zip(batch).zip(energies) {
                let (own, others) = rest.split_at(3 * system.len());
                rest = others;
                answer.extend([vec![energy], own.to_vec()]);
            }
        }
        Ok(answers)
    }
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
fn shuffle(edges: &mut NeighbourList, rng: &mut ChaCha8Rng) {
    for receiver in 0..edges.offsets.len() - 1 {
        let range = edges.offsets[receiver]..edges.offsets[receiver + 1];
        let mut order: Vec<usize> = range.clone().collect();
        order.shuffle(rng);
        let old = edges.clone();
        for (place, from) in range.zip(order) {
            edges.senders[place] = old.senders[from];
            edges.shifts[place] = old.shifts[from];
            edges.vectors[place] = old.vectors[from];
        }
    }
}

impl<B: MessageBackend> Model for Checked<'_, B> {
    fn describe(&self) -> Description {
        let config = &self.model.config;
        let species: Vec<u32> = (0..config.elements.len() as u32).collect();
        let precision = if B::FloatElem::dtype() == DType::F64 { Precision::F64 } else { Precision::F32 };
        let mut description = Description::new(3, precision)
            .species(&species)
            .cutoff(config.cutoff)
            .spacing(SPACING)
            .nodes(2, 7)
            .translations(&[1.0, 100.0, 10_000.0])
            .periodic()
            .batched();
        for head in &self.heads {
            let named = |output: &str| match self.heads.len() {
                1 => output.to_owned(),
                _ => format!("{output}, {head}"),
            };
            description = description.extensive_scalar(&named("energy")).node_vector(&named("forces"));
        }
        description
    }

    fn evaluate(&self, batch: &[System]) -> Result<Vec<Outputs>, Failure> {
        self.run(batch, |_| {})
    }

    fn evaluate_shuffled(&self, batch: &[System], seed: u64) -> Option<Result<Vec<Outputs>, Failure>> {
        Some(self.run(batch, |edges| shuffle(edges, &mut ChaCha8Rng::seed_from_u64(seed))))
    }
}
