//! A small many-body potential that does everything right, and the ways to break it.
//!
//! Density of a node `rho_i = sum_j s_j g(r_ij)`, energy `sum_i F(rho_i)` with `F(x) = x + 0.3 x^2`,
//! forces and virial by hand; beside them a charge, a dipole, a site and a mean. Generic over the
//! arithmetic; the geometry too is computed in it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::needless_range_loop,
    reason = "each test file uses a part; sums over axes"
)]

use isograd_equivariance::{Description, Failure, Model, Outputs, Precision, System};
use nalgebra::{DMatrix, RealField, convert};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// What is wrong with the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    None,
    BiasOnVector,
    RawCoordinates,
    OneAxis,
    CrossProduct,
    MissingShift,
    MeanOverRanks,
    SwappedEnds,
    HardCutoff,
    LinearEnvelope,
    CellTransposed,
    MeanPooling,
    HalfGeometry,
    NodeOrder,
    EdgeOrder,
    NeighbourLimit,
    Leakage,
    SlightAnisotropy,
    DivisionByDistance,
    DivisionByNeighbours,
    PlainForces,
}

pub const CUTOFF: f64 = 3.0;

/// The potential in the arithmetic of `R`.
pub struct Potential<R> {
    pub fault: Fault,
    pub dimensions: usize,
    pub precision: Precision,
    pub arithmetic: std::marker::PhantomData<R>,
}

pub fn single(fault: Fault) -> Potential<f32> {
    Potential { fault, dimensions: 3, precision: Precision::F32, arithmetic: std::marker::PhantomData }
}

pub fn double(fault: Fault, dimensions: usize) -> Potential<f64> {
    Potential { fault, dimensions, precision: Precision::F64, arithmetic: std::marker::PhantomData }
}

struct Edge<R> {
    receiver: usize,
    sender: usize,
    vector: Vec<R>,
    distance: R,
}

fn c<R: RealField>(value: f64) -> R {
    convert(value)
}

impl<R: RealField + Copy> Potential<R> {
    /// `exp(-r)` times an envelope, and its derivative.
    fn pair(&self, r: R) -> (R, R) {
        let x = r / c(CUTOFF);
        let (w, dw) = match self.fault {
            Fault::HardCutoff => (R::one(), R::zero()),
            Fault::LinearEnvelope => (R::one() - x, -R::one() / c(CUTOFF)),
            _ => {
                let rest = R::one() - x * x;
                (rest * rest * rest, -c::<R>(6.0) * x * rest * rest / c(CUTOFF))
            }
        };
        let e = (-r).exp();
        (e * w, e * (dw - w))
    }

    fn edges(&self, system: &System) -> Vec<Edge<R>> {
        let dimensions = self.dimensions;
        let mut edges = Vec::new();
        let cell = system.cell.as_ref().map(|cell| {
            let matrix = cell.matrix();
            if self.fault == Fault::CellTransposed { matrix.transpose() } else { matrix }
        });
        // How many images away a neighbour may be, nodes outside the cell included.
        let shifts: Vec<Vec<f64>> = match cell.as_ref().filter(|_| system.is_periodic()) {
            None => vec![vec![0.0; dimensions]],
            Some(cell) => images(cell, &system.periodic, &system.positions),
        };
        for receiver in 0..system.len() {
            for sender in 0..system.len() {
                for shift in &shifts {
                    if receiver == sender && shift.iter().all(|x| *x == 0.0) {
                        continue;
                    }
                    let (from, to) = (system.positions.row(receiver), system.positions.row(sender));
                    let vector: Vec<R> =
                        (0..dimensions).map(|d| c::<R>(to[d]) + c::<R>(shift[d]) - c::<R>(from[d])).collect();
                    let distance = vector.iter().fold(R::zero(), |sum, x| sum + *x * *x).sqrt();
                    if distance >= c(CUTOFF) {
                        continue;
                    }
                    let unshifted = || (0..dimensions).map(|d| c::<R>(to[d]) - c::<R>(from[d])).collect();
                    let vector = match self.fault {
                        Fault::MissingShift => unshifted(),
                        Fault::HalfGeometry => vector
                            .iter()
                            .map(|x| c(half::f16::from_f64(x.to_subset().unwrap_or(f64::NAN)).to_f64()))
                            .collect(),
                        _ => vector,
                    };
                    edges.push(Edge { receiver, sender, vector, distance });
                }
            }
        }
        edges
    }

    fn evaluate_one(&self, system: &System, shuffle: Option<u64>) -> Outputs {
        let (nodes, dimensions) = (system.len(), self.dimensions);
        let mut edges = self.edges(system);
        if let Some(seed) = shuffle {
            edges.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
        }
        if self.fault == Fault::NeighbourLimit {
            let mut seen = vec![0; nodes];
            edges.retain(|edge| {
                seen[edge.receiver] += 1;
                seen[edge.receiver] <= 4
            });
        }
        if self.fault == Fault::EdgeOrder {
            edges.iter_mut().enumerate().for_each(|(k, edge)| edge.distance *= c(1.0 + 1e-4 * k as f64));
        }
        if self.fault == Fault::HalfGeometry {
            for edge in &mut edges {
                edge.distance = edge.vector.iter().fold(R::zero(), |sum, x| sum + *x * *x).sqrt();
            }
        }
        let strength = |node: usize| {
            let mut s: R = c(0.5 + 0.3 * f64::from(system.species[node]) + 0.1 * system.features.row(node)[0]);
            if self.fault == Fault::RawCoordinates {
                s += c::<R>(0.02) * c::<R>(system.positions.row(node)[0]);
            }
            if self.fault == Fault::NodeOrder {
                s += c(0.01 * node as f64);
            }
            s
        };
        let mut rho = vec![R::zero(); nodes];
        let mut charge: Vec<R> = (0..nodes).map(|node| c(system.features.row(node)[0])).collect();
        let mut pull = vec![vec![R::zero(); dimensions]; nodes];
        let mut field = vec![vec![R::zero(); dimensions]; nodes];
        let mut neighbours = vec![0usize; nodes];
        for edge in &edges {
            let (i, j) = (edge.receiver, edge.sender);
            let (g, _) = self.pair(edge.distance);
            rho[i] += strength(j) * g;
            neighbours[i] += 1;
            let (v, w) = (system.vectors[0].row(i), system.vectors[0].row(j));
            let product = v.iter().zip(w).fold(R::zero(), |sum, (a, b)| sum + c::<R>(*a) * c::<R>(*b));
            charge[i] += c::<R>(0.1) * product * g;
            if self.fault == Fault::OneAxis {
                charge[i] += edge.vector[dimensions - 1] * g;
            }
            for d in 0..dimensions {
                pull[i][d] += g * edge.vector[d];
                field[i][d] += strength(j) * g * edge.vector[d] + c::<R>(0.1 * w[d]) * g;
            }
        }
        if self.fault == Fault::DivisionByNeighbours {
            for node in 0..nodes {
                charge[node] += rho[node] / c(neighbours[node] as f64);
            }
        }
        let slope: Vec<R> = rho.iter().map(|rho| R::one() + c::<R>(0.6) * *rho).collect();
        let site_energies: Vec<R> = rho.iter().map(|rho| *rho + c::<R>(0.3) * *rho * *rho).collect();
        let mut energy = site_energies.iter().fold(R::zero(), |sum, e| sum + *e);
        if self.fault == Fault::MeanPooling {
            energy /= c(nodes as f64);
        }
        let mut forces = vec![vec![R::zero(); dimensions]; nodes];
        let mut virial = vec![R::zero(); dimensions * dimensions];
        for edge in &edges {
            let (i, j) = (edge.receiver, edge.sender);
            let (_, dg) = self.pair(edge.distance);
            let guarded = edge.distance == R::zero() && self.fault != Fault::DivisionByDistance;
            let inverse = if guarded { R::zero() } else { R::one() / edge.distance };
            // Both directions of a pair are edges, so that each adds its own half.
            let tension = (slope[i] * strength(j) + slope[j] * strength(i)) * dg * inverse;
            let target = if self.fault == Fault::SwappedEnds { j } else { i };
            for a in 0..dimensions {
                forces[target][a] += tension * edge.vector[a];
                for b in 0..dimensions {
                    virial[a * dimensions + b] += c::<R>(0.5) * tension * edge.vector[a] * edge.vector[b];
                }
            }
        }
        let mut dipole = vec![R::zero(); dimensions];
        for node in 0..nodes {
            for d in 0..dimensions {
                dipole[d] += field[node][d];
            }
            if self.fault == Fault::CrossProduct {
                for d in 0..3 {
                    let (a, b) = ((d + 1) % 3, (d + 2) % 3);
                    dipole[d] += pull[node][a] * field[node][b] - pull[node][b] * field[node][a];
                }
            }
        }
        for force in &mut forces {
            match self.fault {
                Fault::BiasOnVector => force[0] += c(0.01),
                Fault::SlightAnisotropy => force[0] *= c(1.0 + 2e-5),
                // As a plain perceptron on invariant features: a vector that no rotation turns.
                Fault::PlainForces => force.iter_mut().enumerate().for_each(|(d, f)| *f = energy * c(0.1 * d as f64)),
                _ => {}
            }
        }
        let total = |values: &[R]| values.iter().fold(R::zero(), |sum, x| sum + *x);
        let mean = |values: &[R]| total(values) / c(values.len().max(1) as f64);
        let mean_density = match (self.fault, nodes) {
            (Fault::MeanOverRanks, 3..) => (mean(&rho[..nodes / 3]) + mean(&rho[nodes / 3..])) / c(2.0),
            _ => mean(&rho),
        };
        let back = |values: &[R]| values.iter().map(|x| x.to_subset().unwrap_or(f64::NAN)).collect::<Vec<f64>>();
        let site: Vec<f64> = pull
            .iter()
            .zip(system.positions.iter())
            .flat_map(|(pull, place)| back(pull).into_iter().zip(place).map(|(a, b)| a + b).collect::<Vec<_>>())
            .collect();
        vec![
            back(&[energy]),
            back(&forces.concat()),
            back(&charge),
            back(&dipole),
            site,
            back(&virial),
            back(&[mean_density]),
        ]
    }
}

fn images(cell: &DMatrix<f64>, periodic: &[bool], positions: &isograd_equivariance::Rows) -> Vec<Vec<f64>> {
    let inverse = cell.clone().try_inverse().unwrap();
    let mut shifts = vec![vec![0.0; periodic.len()]];
    for axis in (0..periodic.len()).filter(|&axis| periodic[axis]) {
        // Distance of the planes of this lattice vector, and the range of fractional coordinates.
        let height = 1.0 / inverse.column(axis).norm();
        let fractions: Vec<f64> =
            positions.iter().map(|x| (0..x.len()).map(|d| x[d] * inverse[(d, axis)]).sum()).collect();
        let spread =
            fractions.iter().fold(f64::MIN, |a, b| a.max(*b)) - fractions.iter().fold(f64::MAX, |a, b| a.min(*b));
        let count = (CUTOFF / height + spread).ceil() as i32;
        shifts = shifts
            .iter()
            .flat_map(|shift| {
                (-count..=count).map(move |k| {
                    (0..shift.len()).map(|d| shift[d] + f64::from(k) * cell[(axis, d)]).collect::<Vec<f64>>()
                })
            })
            .collect();
    }
    shifts
}

impl<R: RealField + Copy> Model for Potential<R> {
    fn describe(&self) -> Description {
        Description::new(self.dimensions, self.precision)
            .species(&[0, 1, 2])
            .features(1)
            .vectors(1)
            .nodes(2, 6)
            .spacing(0.8)
            .cutoff(CUTOFF)
            .periodic()
            .batched()
            .extensive_scalar("energy")
            .node_vector("forces")
            .node_scalar("charge")
            .extensive_vector("dipole")
            .node_point("site")
            .extensive_tensor("virial")
            .intensive_scalar("mean density")
            .conservative("energy", "forces")
            .zero_sum("forces")
            .zero_torque("forces")
    }

    fn evaluate(&self, batch: &[System]) -> Result<Vec<Outputs>, Failure> {
        let mut answers: Vec<Outputs> = batch.iter().map(|system| self.evaluate_one(system, None)).collect();
        if self.fault == Fault::Leakage {
            let mean = answers.iter().map(|outputs| outputs[0][0]).sum::<f64>() / answers.len() as f64;
            answers.iter_mut().for_each(|outputs| outputs[0][0] += 0.01 * mean);
        }
        Ok(answers)
    }

    fn evaluate_shuffled(&self, batch: &[System], seed: u64) -> Option<Result<Vec<Outputs>, Failure>> {
        Some(Ok(batch.iter().map(|system| self.evaluate_one(system, Some(seed))).collect()))
    }
}
