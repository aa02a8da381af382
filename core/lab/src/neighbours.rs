//! Edges per second of the neighbour list: a molecule, a slab, a large crystal.

use std::time::Instant;

use isograd_structure::{Cell, Geometry, neighbour_list};
use isograd_train::Result;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;

use super::step::median;

/// The rate for one kind of structure.
#[derive(Debug, Clone, Serialize)]
pub struct NeighbourRate {
    /// What it is.
    pub name: &'static str,
    /// Atoms.
    pub atoms: usize,
    /// Directed edges.
    pub edges: usize,
    /// Median seconds for one list.
    pub seconds: f64,
    /// Edges over seconds.
    pub edges_per_second: f64,
}

/// Times neighbour lists at `cutoff` angstrom, each for about `seconds`.
///
/// # Errors
/// As [`neighbour_list`].
pub fn neighbour_rates(cutoff: f64, seconds: f64) -> Result<Vec<NeighbourRate>> {
    let cases = [
        ("molecule", crystal([3, 3, 2], 1.5, [false; 3])),
        ("slab", crystal([5, 5, 8], 2.55, [true, true, false])),
        ("crystal", crystal([46, 46, 48], 2.55, [true; 3])),
    ];
    cases
        .into_iter()
        .map(|(name, geometry)| {
            let edges = neighbour_list(&geometry, cutoff)?.len();
            let mut laps = Vec::new();
            let start = Instant::now();
            while start.elapsed().as_secs_f64() < seconds || laps.len() < 5 {
                let lap = Instant::now();
                std::hint::black_box(neighbour_list(&geometry, cutoff)?);
                laps.push(lap.elapsed().as_secs_f64());
            }
            let seconds = median(laps);
            let atoms = geometry.positions.len();
            Ok(NeighbourRate { name, atoms, edges, seconds, edges_per_second: edges as f64 / seconds })
        })
        .collect()
}

/// A rattled simple cubic lattice of `counts` atoms with the given spacing in angstrom.
fn crystal(counts: [usize; 3], spacing: f64, periodic: [bool; 3]) -> Geometry {
    let mut rng = ChaCha8Rng::seed_from_u64(0);
    let mut positions = Vec::new();
    for a in 0..counts[0] {
        for b in 0..counts[1] {
            for c in 0..counts[2] {
                positions.push([a, b, c].map(|n| (n as f64 + rng.random_range(-0.1..0.1)) * spacing));
            }
        }
    }
    let edge = |k: usize| counts[k] as f64 * spacing;
    let cell = Cell([[edge(0), 0.0, 0.0], [0.0, edge(1), 0.0], [0.0, 0.0, edge(2)]]);
    Geometry { positions, cell: Some(cell), periodic }
}
