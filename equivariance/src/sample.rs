//! Random systems that suit a model, ordinary and degenerate.

use rand::{Rng, RngExt};
use rand_distr::StandardNormal;
use serde::{Deserialize, Serialize};

use crate::{Description, Rows, System, group};

/// Shapes of inputs that models stumble over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Shape {
    /// Nodes at random places, at least the model's spacing apart; half of them in cells where the
    /// model reads cells.
    Ordinary,
    /// As ordinary, never in a cell.
    Free,
    /// As ordinary, always in a cell.
    Periodic,
    /// As periodic, along all lattice vectors.
    Bulk,
    /// A single node.
    Single,
    /// Ordinary nodes and one that no other sees.
    Isolated,
    /// Two nodes at the same place.
    Duplicate,
    /// All nodes on a line.
    Collinear,
    /// All nodes in a plane.
    Coplanar,
}

/// A random system of a shape.
pub fn system(description: &Description, shape: Shape, rng: &mut impl Rng) -> System {
    let (fewest, most) = description.nodes;
    let nodes = if shape == Shape::Single { 1 } else { rng.random_range(fewest..=most) };
    let dimensions = description.dimensions;
    let in_cell = match shape {
        Shape::Ordinary => description.periodic && rng.random_bool(0.5),
        Shape::Periodic | Shape::Bulk => true,
        _ => false,
    };
    let mut system =
        if in_cell { in_a_cell(description, nodes, shape == Shape::Bulk, rng) } else { free(description, nodes, rng) };
    match shape {
        Shape::Isolated => isolate(&mut system, description, rng),
        Shape::Duplicate => duplicate(&mut system, description, rng),
        Shape::Collinear => flatten(&mut system, description, 1, rng),
        Shape::Coplanar => flatten(&mut system, description, dimensions.saturating_sub(1).clamp(1, 2), rng),
        _ => {}
    }
    system
}

fn normal(rows: usize, columns: usize, rng: &mut impl Rng) -> Rows {
    Rows::from_fn(rows, columns, |_, _| rng.sample(StandardNormal))
}

/// A system at given positions, with random species, features and vectors.
pub(crate) fn dressed(description: &Description, positions: Rows, rng: &mut impl Rng) -> System {
    let nodes = positions.rows();
    let species = (0..nodes).map(|_| description.species[rng.random_range(0..description.species.len())]).collect();
    System {
        features: normal(nodes, description.features, rng),
        vectors: (0..description.vectors).map(|_| normal(nodes, description.dimensions, rng)).collect(),
        ..System::free(positions, species)
    }
}

fn free(description: &Description, nodes: usize, rng: &mut impl Rng) -> System {
    let positions = scattered(nodes, description.dimensions, description.spacing, rng);
    dressed(description, positions, rng)
}

/// Places at least `spacing` apart, in a box that grows until they fit.
fn scattered(nodes: usize, dimensions: usize, spacing: f64, rng: &mut impl Rng) -> Rows {
    let mut edge = 1.8 * spacing * (nodes as f64).powf(1.0 / dimensions as f64);
    let mut positions = Rows::empty(dimensions);
    while positions.rows() < nodes {
        let place: Vec<f64> = (0..dimensions).map(|_| rng.random_range(0.0..edge)).collect();
        let far = |other: &[f64]| distance(other, &place) >= spacing;
        if positions.iter().all(far) {
            positions.push(&place);
        } else {
            edge *= 1.01;
        }
    }
    positions
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum::<f64>().sqrt()
}

/// A random cell, from nearly cubic to strongly sheared, periodic along at least one direction or
/// `everywhere`. Nodes are placed around it too, not only inside.
fn in_a_cell(description: &Description, nodes: usize, everywhere: bool, rng: &mut impl Rng) -> System {
    let (dimensions, spacing) = (description.dimensions, description.spacing);
    let edge = 1.8 * spacing * (nodes as f64).powf(1.0 / dimensions as f64);
    let shear = Rows::from_fn(dimensions, dimensions, |i, j| match i.cmp(&j) {
        std::cmp::Ordering::Equal => edge * rng.random_range(0.9..1.3),
        std::cmp::Ordering::Less => 0.0,
        std::cmp::Ordering::Greater => edge * rng.random_range(-0.5..0.5),
    });
    let cell = shear.mapped(&group::rotation(dimensions, rng));
    let mut periodic: Vec<bool> = (0..dimensions).map(|_| everywhere || rng.random_bool(0.75)).collect();
    periodic[rng.random_range(0..dimensions)] = true;
    let images = neighbouring_images(&cell, &periodic);
    let mut positions = Rows::empty(dimensions);
    let mut tries = 0;
    while positions.rows() < nodes && (tries < 500 || positions.rows() == 0) {
        tries += 1;
        let fractions: Vec<f64> = (0..dimensions).map(|_| rng.random_range(-0.3..1.3)).collect();
        let place: Vec<f64> =
            (0..dimensions).map(|d| fractions.iter().zip(cell.iter()).map(|(f, row)| f * row[d]).sum()).collect();
        let far = |other: &[f64]| {
            images.iter().all(|shift| {
                let image: Vec<f64> = other.iter().zip(shift).map(|(a, b)| a + b).collect();
                distance(&image, &place) >= spacing
            })
        };
        if positions.iter().all(far) {
            positions.push(&place);
        }
    }
    System { cell: Some(cell), periodic, ..dressed(description, positions, rng) }
}

/// Shifts to all images within two cells.
fn neighbouring_images(cell: &Rows, periodic: &[bool]) -> Vec<Vec<f64>> {
    let mut shifts = vec![vec![0.0; periodic.len()]];
    for (vector, _) in cell.iter().zip(periodic).filter(|(_, periodic)| **periodic) {
        let step = |shift: &Vec<f64>, k: i32| -> Vec<f64> {
            shift.iter().zip(vector).map(|(s, v)| s + f64::from(k) * v).collect()
        };
        shifts = shifts.iter().flat_map(|shift| (-2..=2).map(move |k| step(shift, k))).collect();
    }
    shifts
}

fn isolate(system: &mut System, description: &Description, rng: &mut impl Rng) {
    let reach = description.cutoff.unwrap_or(description.spacing);
    let away = 3.0 * reach + 4.0 * description.spacing * system.len() as f64;
    let last = system.len() - 1;
    let direction = group::orthogonal(description.dimensions, rng);
    for (axis, value) in system.positions.row_mut(last).iter_mut().enumerate() {
        *value += away * direction[(axis, 0)];
    }
}

fn duplicate(system: &mut System, description: &Description, rng: &mut impl Rng) {
    let place = system.positions.row(0).to_vec();
    let twin = dressed(description, Rows::new(description.dimensions, place), rng);
    *system = system.joined(&twin);
}

/// Puts all nodes into a random subspace through the first, at distances that stay ordinary.
fn flatten(system: &mut System, description: &Description, kept: usize, rng: &mut impl Rng) {
    let (dimensions, nodes) = (description.dimensions, system.len());
    let inside = scattered(nodes, kept.min(dimensions), description.spacing, rng);
    let basis = group::orthogonal(dimensions, rng);
    system.positions = Rows::from_fn(nodes, dimensions, |node, axis| {
        inside.row(node).iter().enumerate().map(|(k, value)| value * basis[(axis, k)]).sum()
    });
}
