//! A small many-body potential that does everything right, and the ways to break it.
//!
//! Density of a node `rho_i = sum_j s_j g(r_ij)`, energy `sum_i F(rho_i)` with `F(x) = x + 0.3 x^2`,
//! forces, virial and stress by hand; beside them a charge, a dipole, a site and a mean. Generic over the
//! arithmetic; the geometry too is computed in it.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::needless_range_loop,
    reason = "each test file uses a part; sums over axes"
)]

use isograd_equivariance::{Description, Failure, Model, Outputs, Precision, Rows, System};
use nalgebra::{DMatrix, DVector, RealField, convert};
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
    ForcesReversed,
    OwnSlopeOnly,
    RelativeVelocities,
    StressReversed,
    SlightStress,
    HalfVirial,
    StrainedCellTransposed,
    ProductOfEdges,
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
    /// What the cell adds to the vector.
    shift: Vec<f64>,
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
                    // Most images are far away: whatever the arithmetic, they are no neighbours.
                    let square: f64 = (0..dimensions).map(|d| (to[d] + shift[d] - from[d]).powi(2)).sum();
                    if square > (1.1 * CUTOFF).powi(2) {
                        continue;
                    }
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
                    edges.push(Edge { receiver, sender, vector, shift: shift.clone(), distance });
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
            let pull = match self.fault {
                Fault::ForcesReversed => -tension,
                // A block's own derivative, without what the neighbour's density feels of this node.
                Fault::OwnSlopeOnly => slope[i] * strength(j) * dg * inverse,
                _ => tension,
            };
            for a in 0..dimensions {
                forces[target][a] += pull * edge.vector[a];
            }
            // Each pair once, where the half below is for both of its directions.
            if self.fault == Fault::HalfVirial && edge.vector.iter().find(|x| **x != R::zero()) < Some(&R::zero()) {
                continue;
            }
            let outer = self.outer(system, edge);
            for (sum, outer) in virial.iter_mut().zip(outer) {
                *sum += c::<R>(0.5) * tension * outer;
            }
        }
        if self.fault == Fault::RelativeVelocities {
            for edge in &edges {
                let (i, j) = (edge.receiver, edge.sender);
                let (g, _) = self.pair(edge.distance);
                for d in 0..dimensions {
                    forces[i][d] += c::<R>(0.1 * (system.vectors[0].row(j)[d] - system.vectors[0].row(i)[d])) * g;
                }
            }
        }
        // Systems that do not repeat have no stress.
        let stress: Vec<R> = match system.volume().filter(|_| system.is_periodic()) {
            None => vec![R::zero(); dimensions * dimensions],
            Some(volume) => {
                let lengths = |cell: &Rows| cell.matrix().row_iter().map(|row| row.norm()).product();
                let volume = match (self.fault, &system.cell) {
                    (Fault::ProductOfEdges, Some(cell)) => lengths(cell),
                    (Fault::StressReversed, _) => -volume,
                    (Fault::SlightStress, _) => 1.001 * volume,
                    _ => volume,
                };
                virial.iter().map(|value| *value / c(volume)).collect()
            }
        };
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
            back(&stress),
        ]
    }

    /// What a strain does to half the square of an edge's length: the vector times itself.
    ///
    /// The true stress is symmetric, so that its transpose is no fault. A strain that reaches the
    /// lattice vectors as columns is one: where n counts them, the shift `n h` becomes `n (1 + strain) h`
    /// in place of `n h (1 + strain)`. The derivative by a symmetric strain is symmetric even so.
    fn outer(&self, system: &System, edge: &Edge<R>) -> Vec<R> {
        let (dimensions, vector) = (self.dimensions, &edge.vector);
        let product = |a: &[R], b: &[R]| -> Vec<R> {
            (0..dimensions * dimensions).map(|k| a[k / dimensions] * b[k % dimensions]).collect()
        };
        match system.cell.as_ref().filter(|_| self.fault == Fault::StrainedCellTransposed) {
            None => product(vector, vector),
            Some(cell) => {
                let cell = cell.matrix();
                let shift = DVector::from_column_slice(&edge.shift);
                let counts = cell.transpose().lu().solve(&shift).unwrap();
                let counts: Vec<R> = counts.iter().map(|n| c(*n)).collect();
                let inside: Vec<R> = (0..dimensions).map(|d| vector[d] - c(shift[d])).collect();
                let mixed: Vec<R> = (0..dimensions)
                    .map(|a| (0..dimensions).fold(R::zero(), |sum, b| sum + c::<R>(cell[(a, b)]) * vector[b]))
                    .collect();
                let (inner, outer) = (product(&inside, vector), product(&counts, &mixed));
                let sum: Vec<R> = inner.iter().zip(&outer).map(|(inner, outer)| *inner + *outer).collect();
                let other = |k: usize| k % dimensions * dimensions + k / dimensions;
                (0..sum.len()).map(|k| (sum[k] + sum[other(k)]) * c(0.5)).collect()
            }
        }
    }
}

fn images(cell: &DMatrix<f64>, periodic: &[bool], positions: &Rows) -> Vec<Vec<f64>> {
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
            .intensive_tensor("stress")
            .conservative("energy", "forces")
            .stress_of("energy", "stress")
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
