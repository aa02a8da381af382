//! The neighbour list: every pair of atoms, or of an atom and an image, closer than the cutoff.
//!
//! Atoms are sorted into bins at least as wide as the cutoff where the cell allows it, so that the
//! work is linear in the number of atoms, also where some are far from all others. In a cell smaller than the cutoff there is one bin, and
//! the search walks over as many of its images as the cutoff reaches. Distances are compared in
//! f64, and an atom pair at exactly the cutoff is left out, as ASE does.

use nalgebra::{Matrix3, Vector3};
use rayon::prelude::*;

use crate::{Error, Geometry, Result};

/// Atoms from which on the search of one structure is spread over threads.
const PARALLEL_FROM: usize = 2048;

/// Atoms that one thread searches for at the least.
const PARALLEL_CHUNK: usize = 64;

/// Images of the cell that the search of one atom may visit; above, the cell is taken for damaged.
const MOST_IMAGES: f64 = 1e6;

/// The edges of one structure, sorted by receiver, then sender, then shift.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct NeighbourList {
    /// CSR offsets `[N + 1]`: the edges of receiver `i` are `offsets[i]..offsets[i + 1]`.
    pub offsets: Vec<usize>,
    /// Sender of each edge, `[E]`.
    pub senders: Vec<u32>,
    /// Lattice translation of the sender in each edge, `[E, 3]`, in units of the lattice vectors.
    pub shifts: Vec<[i32; 3]>,
    /// `r_ij = x_j + shift - x_i` of each edge, `[E, 3]`, in angstrom.
    pub vectors: Vec<[f64; 3]>,
}

impl NeighbourList {
    /// Number of directed edges.
    pub fn len(&self) -> usize {
        self.senders.len()
    }

    /// Whether there are no edges.
    pub fn is_empty(&self) -> bool {
        self.senders.is_empty()
    }

    /// Receiver of each edge, `[E]`.
    pub fn receivers(&self) -> impl Iterator<Item = u32> + '_ {
        self.offsets.windows(2).enumerate().flat_map(|(i, range)| std::iter::repeat_n(i as u32, range[1] - range[0]))
    }

    fn from_rows(rows: Vec<Vec<Edge>>) -> Self {
        let edges = rows.iter().map(Vec::len).sum();
        let mut list = Self {
            offsets: Vec::with_capacity(rows.len() + 1),
            senders: Vec::with_capacity(edges),
            shifts: Vec::with_capacity(edges),
            vectors: Vec::with_capacity(edges),
        };
        list.offsets.push(0);
        for row in rows {
            for edge in row {
                list.senders.push(edge.sender);
                list.shifts.push(edge.shift);
                list.vectors.push(edge.vector);
            }
            list.offsets.push(list.senders.len());
        }
        list
    }
}

/// One edge of a receiver.
#[derive(Debug, Clone, Copy)]
struct Edge {
    sender: u32,
    shift: [i32; 3],
    vector: [f64; 3],
}

/// All edges shorter than `cutoff` angstrom.
///
/// # Errors
/// If the cutoff is not a positive number, if a position is not finite or lies a million lattice vectors
/// outside the cell, if the lattice vectors of the periodic directions are missing or flat, or if the
/// cell is so thin that the cutoff reaches over more than a million of its images.
pub fn neighbour_list(geometry: &Geometry, cutoff: f64) -> Result<NeighbourList> {
    let bins = Bins::new(geometry, cutoff)?;
    let row = |i: usize| {
        let mut row = Vec::new();
        bins.visit(i, |edge| row.push(edge));
        row.sort_unstable_by_key(|edge| (edge.sender, edge.shift));
        row
    };
    let atoms = geometry.positions.len();
    let rows = if atoms < PARALLEL_FROM {
        (0..atoms).map(row).collect()
    } else {
        (0..atoms).into_par_iter().with_min_len(PARALLEL_CHUNK).map(row).collect()
    };
    Ok(NeighbourList::from_rows(rows))
}

/// What one search says of a structure before its graph is made.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Pairs {
    /// Number of edges shorter than the cutoff: that of [`neighbour_list`], without the memory of it.
    pub edges: usize,
    /// The shortest distance between two atoms, or an atom and an image, in angstrom, if any is below the limit.
    pub shortest: Option<f64>,
}

/// Counts the edges shorter than `cutoff` angstrom, and finds the shortest distance below `near` angstrom.
///
/// # Errors
/// As [`neighbour_list`], of the larger of the two.
pub fn pairs(geometry: &Geometry, cutoff: f64, near: f64) -> Result<Pairs> {
    if !(cutoff > 0.0 && near > 0.0) {
        return Err(Error::Cutoff(cutoff.min(near)));
    }
    let bins = Bins::new(geometry, cutoff.max(near))?;
    let of = |i: usize| {
        let (mut edges, mut shortest) = (0usize, f64::INFINITY);
        bins.visit(i, |edge| {
            let square = Vector3::from(edge.vector).norm_squared();
            edges += usize::from(square < cutoff * cutoff);
            shortest = shortest.min(square);
        });
        (edges, shortest)
    };
    let both = |a: (usize, f64), b: (usize, f64)| (a.0 + b.0, a.1.min(b.1));
    let (atoms, nothing) = (geometry.positions.len(), (0, f64::INFINITY));
    let (edges, square) = if atoms < PARALLEL_FROM {
        (0..atoms).map(of).fold(nothing, both)
    } else {
        (0..atoms).into_par_iter().with_min_len(PARALLEL_CHUNK).map(of).reduce(|| nothing, both)
    };
    Ok(Pairs { edges, shortest: (square < near * near).then(|| square.sqrt()) })
}

/// Atoms sorted into the bins of a lattice.
struct Bins {
    cutoff_squared: f64,
    /// Number of bins along each lattice direction.
    counts: [i64; 3],
    /// How many bins the cutoff reaches along each direction.
    reach: [i64; 3],
    periodic: [bool; 3],
    lattice: Matrix3<f64>,
    /// Positions moved into the cell along periodic directions.
    wrapped: Vec<Vector3<f64>>,
    /// The lattice translation that did it: wrapped = position + wrap . lattice.
    wraps: Vec<[i64; 3]>,
    /// The bin of each atom, per direction.
    places: Vec<[i64; 3]>,
    /// CSR over bins: atoms of bin b are `members[starts[b]..starts[b + 1]]`.
    starts: Vec<usize>,
    members: Vec<u32>,
}

impl Bins {
    fn new(geometry: &Geometry, cutoff: f64) -> Result<Self> {
        if !(cutoff > 0.0 && cutoff.is_finite()) {
            return Err(Error::Cutoff(cutoff));
        }
        if !geometry.positions.as_flattened().iter().all(|v| v.is_finite() && v.abs() < 1e9) {
            return Err(Error::Position);
        }
        let lattice = geometry.spanning_lattice().ok_or(Error::Flat)?;
        let inverse = lattice.try_inverse().ok_or(Error::Flat)?;
        // Row k of the lattice is a_k; column k of the inverse is its reciprocal vector, whose
        // length is one over the distance between the faces that a_k connects.
        let heights: [f64; 3] = std::array::from_fn(|k| 1.0 / inverse.column(k).norm());

        let atoms = geometry.positions.len();
        let mut wrapped = Vec::with_capacity(atoms);
        let mut wraps = Vec::with_capacity(atoms);
        let mut fractions = Vec::with_capacity(atoms);
        for position in &geometry.positions {
            let position = Vector3::from(*position);
            let mut fraction = inverse.tr_mul(&position);
            let mut moved = position;
            let mut wrap = [0i64; 3];
            for k in (0..3).filter(|&k| geometry.periodic[k]) {
                let shift = -fraction[k].floor();
                if shift.abs() > 1e6 {
                    return Err(Error::Outside);
                }
                wrap[k] = shift as i64;
                fraction[k] += shift;
                moved += lattice.row(k).transpose() * shift;
            }
            wrapped.push(moved);
            wraps.push(wrap);
            fractions.push(fraction);
        }

        let (mut lowest, mut spans) = extents(&fractions, geometry.periodic);
        let full: f64 = (0..3).map(|k| (spans[k] * heights[k] / cutoff).max(1.0)).product();
        if full > (8 * atoms) as f64 {
            for k in (0..3).filter(|&k| !geometry.periodic[k]) {
                close_gaps(&mut fractions, k, 2.0 * cutoff / heights[k]);
            }
            (lowest, spans) = extents(&fractions, geometry.periodic);
        }
        let most = ((4 * atoms) as f64).cbrt().ceil().max(1.0) * 4.0;
        let mut counts = [1i64; 3];
        let mut reach = [0i64; 3];
        for k in 0..3 {
            let extent = spans[k] * heights[k];
            // A hair wider than the cutoff, so that rounding a fraction to a bin cannot hide a pair.
            counts[k] = (extent / (cutoff * (1.0 + 1e-9))).floor().clamp(1.0, most) as i64;
        }
        // Very anisotropic structures: keep the number of bins linear in the number of atoms.
        while counts.iter().product::<i64>() > (8 * atoms.max(1)) as i64 {
            let widest = (0..3).max_by_key(|&k| counts[k]).unwrap_or(0);
            counts[widest] = (counts[widest] + 1) / 2;
        }
        for k in 0..3 {
            let bin_height = spans[k] * heights[k] / counts[k] as f64;
            let reached = (cutoff / bin_height * (1.0 + 1e-9)).ceil().min(1e9) as i64;
            reach[k] = if counts[k] == 1 && !geometry.periodic[k] { 0 } else { reached };
        }
        let images: f64 =
            (0..3).filter(|&k| geometry.periodic[k]).map(|k| (2 * reach[k] + 1) as f64 / counts[k] as f64).product();
        if images > MOST_IMAGES {
            return Err(Error::Thin { heights, cutoff });
        }

        let places: Vec<[i64; 3]> = fractions
            .iter()
            .map(|fraction| {
                std::array::from_fn(|k| {
                    let along = (fraction[k] - lowest[k]) / spans[k] * counts[k] as f64;
                    (along as i64).clamp(0, counts[k] - 1)
                })
            })
            .collect();
        let (starts, members) = sort_into_bins(&places, counts);
        let periodic = geometry.periodic;
        Ok(Self {
            cutoff_squared: cutoff * cutoff,
            counts,
            reach,
            periodic,
            lattice,
            wrapped,
            wraps,
            places,
            starts,
            members,
        })
    }

    /// Calls `found` for every edge of receiver `i`, in no particular order.
    fn visit(&self, i: usize, mut found: impl FnMut(Edge)) {
        let place = self.places[i];
        let range = |k: usize| {
            let (low, high) = (place[k] - self.reach[k], place[k] + self.reach[k]);
            if self.periodic[k] { low..=high } else { low.max(0)..=high.min(self.counts[k] - 1) }
        };
        for a in range(0) {
            let (image_a, a) = (a.div_euclid(self.counts[0]), a.rem_euclid(self.counts[0]));
            for b in range(1) {
                let (image_b, b) = (b.div_euclid(self.counts[1]), b.rem_euclid(self.counts[1]));
                for c in range(2) {
                    let (image_c, c) = (c.div_euclid(self.counts[2]), c.rem_euclid(self.counts[2]));
                    let bin = ((a * self.counts[1] + b) * self.counts[2] + c) as usize;
                    self.visit_bin(i, bin, [image_a, image_b, image_c], &mut found);
                }
            }
        }
    }

    fn visit_bin(&self, i: usize, bin: usize, image: [i64; 3], found: &mut impl FnMut(Edge)) {
        let members = &self.members[self.starts[bin]..self.starts[bin + 1]];
        if members.is_empty() {
            return;
        }
        let offset = self.lattice.tr_mul(&Vector3::from(image.map(|n| n as f64))) - self.wrapped[i];
        for &j in members {
            let j = j as usize;
            let vector = self.wrapped[j] + offset;
            if vector.norm_squared() < self.cutoff_squared && !(i == j && image == [0; 3]) {
                let shift = std::array::from_fn(|k| (image[k] + self.wraps[j][k] - self.wraps[i][k]) as i32);
                found(Edge { sender: j as u32, shift, vector: vector.into() });
            }
        }
    }
}

/// Lowest fraction and span of fractions along each direction: the whole cell where it repeats,
/// else the atoms' own range.
fn extents(fractions: &[Vector3<f64>], periodic: [bool; 3]) -> ([f64; 3], [f64; 3]) {
    let mut lowest = [0.0; 3];
    let mut spans = [1.0; 3];
    for k in (0..3).filter(|&k| !periodic[k]) {
        let values = fractions.iter().map(|fraction| fraction[k]);
        let low = values.clone().fold(f64::INFINITY, f64::min);
        let high = values.fold(f64::NEG_INFINITY, f64::max);
        if low.is_finite() {
            lowest[k] = low;
            spans[k] = (high - low).max(1e-3) * (1.0 + 1e-9);
        }
    }
    (lowest, spans)
}

/// Moves atoms together along a direction until no gap between two that follow each other is wider than `most`. What is nearer
/// stays as it is, so that atoms far from all others make no bin wider.
fn close_gaps(fractions: &mut [Vector3<f64>], k: usize, most: f64) {
    let mut order: Vec<usize> = (0..fractions.len()).collect();
    order.sort_unstable_by(|&a, &b| fractions[a][k].total_cmp(&fractions[b][k]));
    let mut closed = 0.0;
    let mut last = order.first().map_or(0.0, |&first| fractions[first][k]);
    for index in order {
        let own = fractions[index][k];
        closed += (own - last - most).max(0.0);
        last = own;
        fractions[index][k] = own - closed;
    }
}

/// A counting sort of the atoms by bin: CSR offsets and members.
fn sort_into_bins(places: &[[i64; 3]], counts: [i64; 3]) -> (Vec<usize>, Vec<u32>) {
    let bin = |place: &[i64; 3]| ((place[0] * counts[1] + place[1]) * counts[2] + place[2]) as usize;
    let mut starts = vec![0usize; counts.iter().product::<i64>() as usize + 1];
    for place in places {
        starts[bin(place) + 1] += 1;
    }
    for b in 1..starts.len() {
        starts[b] += starts[b - 1];
    }
    let mut next = starts.clone();
    let mut members = vec![0u32; places.len()];
    for (atom, place) in places.iter().enumerate() {
        let slot = &mut next[bin(place)];
        members[*slot] = atom as u32;
        *slot += 1;
    }
    (starts, members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cell;

    #[test]
    fn a_simple_cubic_atom_has_six_neighbours_though_the_cell_is_small() {
        let geometry = Geometry {
            positions: vec![[7.3, -2.1, 0.4]],
            cell: Some(Cell([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])),
            periodic: [true; 3],
        };
        assert_eq!(neighbour_list(&geometry, 1.1).unwrap().len(), 6);
        // Shells of the simple cubic lattice up to 3: 6 + 12 + 8 + 6 + 24 + 24 + 12 = 92, 30 at 3.
        assert_eq!(neighbour_list(&geometry, 2.99).unwrap().len(), 92);
        assert_eq!(neighbour_list(&geometry, 3.01).unwrap().len(), 122);
    }

    #[test]
    fn the_cutoff_itself_is_outside() {
        let geometry = Geometry { positions: vec![[0.0; 3], [2.0, 0.0, 0.0]], ..Default::default() };
        assert!(neighbour_list(&geometry, 2.0).unwrap().is_empty());
        assert_eq!(neighbour_list(&geometry, 2.0 + 1e-9).unwrap().len(), 2);
    }

    #[test]
    fn atoms_far_from_all_others_make_no_bin_full() {
        let place = |k: usize| [k % 20, k / 20 % 20, k / 400].map(|x| 2.1 * x as f64);
        let mut positions: Vec<[f64; 3]> = (0..8000).map(place).collect();
        let cluster = Geometry { positions: positions.clone(), ..Default::default() };
        let expected = neighbour_list(&cluster, 5.0).unwrap();
        positions.extend([[1e4, 0.0, 0.0], [-3e8, 7e5, 2.0], [-3e8, 7e5, 4.0]]);
        let geometry = Geometry { positions, ..Default::default() };
        let bins = Bins::new(&geometry, 5.0).unwrap();
        let fullest = bins.starts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(fullest <= 64, "{fullest} atoms in a bin");
        let found = neighbour_list(&geometry, 5.0).unwrap();
        assert_eq!(found.senders[..expected.len()], expected.senders);
        assert_eq!(found.senders[expected.len()..], [8002, 8001]);
    }

    #[test]
    fn no_atoms_and_one_atom() {
        assert_eq!(neighbour_list(&Geometry::default(), 5.0).unwrap().offsets, [0]);
        let one = Geometry { positions: vec![[1.0; 3]], ..Default::default() };
        assert_eq!(neighbour_list(&one, 5.0).unwrap().offsets, [0, 0]);
    }

    #[test]
    fn impossible_input_is_an_error() {
        let nan = Geometry { positions: vec![[f64::NAN, 0.0, 0.0]], ..Default::default() };
        assert!(neighbour_list(&nan, 5.0).is_err());
        assert!(neighbour_list(&Geometry::default(), 0.0).is_err());
        assert!(neighbour_list(&Geometry::default(), f64::NAN).is_err());
        let thin = Geometry {
            positions: vec![[0.0; 3]],
            cell: Some(Cell([[1e-6, 0.0, 0.0], [0.0, 5.0, 0.0], [0.0, 0.0, 5.0]])),
            periodic: [true; 3],
        };
        assert!(neighbour_list(&thin, 5.0).unwrap_err().to_string().contains("a million"));
        let found = pairs(&thin, 5.0, 1.0).map(|found| found.edges);
        assert_eq!(found, neighbour_list(&thin, 5.0).map(|list| list.len()));
    }

    #[test]
    fn the_shortest_distance_is_found_across_the_boundary() {
        let geometry = Geometry {
            positions: vec![[0.1, 0.0, 0.0], [9.8, 0.0, 0.0]],
            cell: Some(Cell([[10.0, 0.0, 0.0], [0.0, 10.0, 0.0], [0.0, 0.0, 10.0]])),
            periodic: [true, false, false],
        };
        assert!((pairs(&geometry, 1.0, 4.0).unwrap().shortest.unwrap() - 0.3).abs() < 1e-12);
    }
}
