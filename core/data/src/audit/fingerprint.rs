//! Numbers that two structures share if they are the same one: however it is turned, mirrored and moved, its atoms
//! numbered, and its lattice vectors chosen, also those of a larger cell.
//!
//! Each atom `i` looks at its neighbours `j` through windows `g_k` over distances, which fade out at 6 angstrom:
//! `s_k = sum_j w_j g_k(r_ij)`, the vector `v_k = sum_j w_j g_k(r_ij) u_ij` and the traceless tensor of
//! `sum_j w_j g_k(r_ij) u_ij u_ij`, where `w_j` depends on the element and `u_ij` is the direction. Lengths of these do not
//! change when the structure is turned. Means over all atoms of the lengths, and of waves over them, are the fingerprint, with
//! three numbers of what lies beyond the windows. It changes about in proportion to how far atoms are moved, at symmetric places
//! too, but for directions that a mirror turns round. [`response`] says by how much, and a [`Metric`] how much in each direction.

use std::sync::OnceLock;

use isograd_structure::{Geometry, Structure, neighbour_list};
use nalgebra::{Matrix3, SMatrix, SVector, Vector3};

/// Length at which windows fade out, in angstrom.
const REACH: f64 = 6.0;

/// Middles of the windows, and their width, in angstrom.
const MIDDLES: [f64; WINDOWS] = [1.0, 2.2, 3.4, 4.6];
const WIDTH: f64 = 0.8;
const WINDOWS: usize = 4;

/// Lengths of an atom: of scalars, vectors, tensors, and of sums of neighbouring vectors.
const LENGTHS: usize = 4 * WINDOWS - 1;

const WAVES: usize = 14;

/// How many numbers a fingerprint has.
pub(super) const NUMBERS: usize = LENGTHS + WAVES + 3;

/// The fingerprint of a structure.
pub(super) type Fingerprint = [f64; NUMBERS];

/// How fingerprints differ: less than their last digits in single precision.
pub(super) type Difference = [f32; NUMBERS];

/// Root mean square of what atoms are moved by to see what it does to a fingerprint, in angstrom.
const MOVED: f64 = 0.01;

/// What stretching a lattice to twice its length counts, in angstrom.
const STRETCHED: f64 = 30.0;

/// Displacements of each structure that a metric is made of.
const PROBES: usize = 8;

/// A direction in which fingerprints hardly change counts as if they changed by this share of the mean of squares.
const FLOOR: f64 = 1e-2;

/// One fingerprint less another.
pub(super) fn difference(own: &Fingerprint, other: &Fingerprint) -> Difference {
    std::array::from_fn(|place| (own[place] - other[place]) as f32)
}

/// By how much the fingerprints of structures like this one differ for each angstrom between them, where the distance between two
/// structures is the square root of the sum of the squares of what all atoms are moved by. It is measured on a random
/// displacement; nothing where there is no neighbour list.
pub(super) fn response(structure: &Structure) -> Option<f64> {
    let change = probe(structure, &fingerprint(structure)?, 0)?;
    Some(change.iter().map(|x| x * x).sum::<f64>().sqrt())
}

/// By how much a fingerprint changes for each angstrom of a displacement, one of many random ones.
fn probe(structure: &Structure, before: &Fingerprint, number: usize) -> Option<Fingerprint> {
    let mut moved = structure.clone();
    let geometry = &mut moved.geometry;
    // A single atom has nothing that it could be moved against: its lattice is stretched instead.
    let distance = if geometry.positions.len() == 1 {
        geometry.cell.iter_mut().flat_map(|cell| &mut cell.0).flatten().for_each(|x| *x *= 1.0 + MOVED);
        MOVED * STRETCHED
    } else {
        let mut squares = 0.0;
        let first = number * 3 * geometry.positions.len();
        for (place, x) in geometry.positions.as_flattened_mut().iter_mut().enumerate() {
            let by = MOVED * 3f64.sqrt() * spread((first + place) as u64);
            *x += by;
            squares += by * by;
        }
        squares.sqrt()
    };
    let after = fingerprint(&moved)?;
    Some(std::array::from_fn(|place| (after[place] - before[place]) / distance))
}

/// How fingerprints change when atoms of some structures, which are alike, are moved.
#[derive(Clone)]
pub(super) struct Changes {
    /// The sum of `y y^T` over changes `y`, for each angstrom, times the number of coordinates.
    products: Box<SMatrix<f64, NUMBERS, NUMBERS>>,
    count: usize,
}

impl Changes {
    /// Nothing was moved yet.
    pub(super) fn new() -> Self {
        Self { products: Box::new(SMatrix::zeros()), count: 0 }
    }

    /// What displacements of a structure do; `number` is that of the structure, each of which is moved in other ways.
    pub(super) fn of(structure: &Structure, number: usize) -> Self {
        let mut changes = Self::new();
        let Some(before) = fingerprint(structure) else { return changes };
        for own in 0..PROBES {
            if let Some(change) = probe(structure, &before, number * PROBES + own) {
                let change = SVector::from(change);
                *changes.products += change * change.transpose() * (3.0 * structure.len() as f64);
                changes.count += 1;
            }
        }
        changes
    }

    pub(super) fn add(&mut self, other: &Self) {
        *self.products += *other.products;
        self.count += other.count;
    }

    /// The metric that follows; nothing where nothing changed.
    pub(super) fn metric(&self) -> Option<Metric> {
        let mut products = *self.products / self.count.max(1) as f64;
        let floor = (FLOOR * products.trace() / NUMBERS as f64).max(f64::MIN_POSITIVE);
        products += SMatrix::identity() * floor;
        let inverse = products.cholesky()?.l().try_inverse()?;
        let lower = (0..NUMBERS).flat_map(|row| (0..=row).map(move |column| (row, column)));
        Some(Metric(lower.map(|place| inverse[place] as f32).collect()))
    }
}

/// Turns differences of fingerprints of structures that are alike into distances in angstrom: those of the smallest displacement of all
/// atoms that makes them, to first order.
///
/// A displacement `dx` changes a fingerprint by `J dx`. The smallest one that makes a difference `y` has the length
/// `(y^T (J J^T)^-1 y)^1/2`; `J J^T` is a mean over random displacements of several structures.
pub(super) struct Metric(Box<[f32]>);

impl Metric {
    /// Numbers whose distances are those of structures.
    pub(super) fn apply(&self, difference: &Difference) -> Difference {
        let mut start = 0;
        std::array::from_fn(|row| {
            let own = &self.0[start..=start + row];
            start += row + 1;
            own.iter().zip(difference).map(|(a, b)| a * b).sum()
        })
    }
}

/// A number from -1 to 1 that looks random, the same for the same `place` (SplitMix64).
fn spread(place: u64) -> f64 {
    let mut bits = place.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^= bits >> 31;
    (bits >> 11) as f64 / (1u64 << 52) as f64 - 1.0
}

/// What an element counts among neighbours, and as the atom that looks: from 0.5 to 1.5, different for each.
fn weights(element: isograd_structure::Element) -> [f64; 2] {
    let number = f64::from(element.number());
    [0.618_033_988_749_895, 0.754_877_666_246_693].map(|step| 0.5 + (number * step).fract())
}

/// Frequencies and phase of each wave.
fn waves() -> &'static [[f64; LENGTHS + 1]; WAVES] {
    static TABLE: OnceLock<[[f64; LENGTHS + 1]; WAVES]> = OnceLock::new();
    TABLE.get_or_init(|| {
        let one = |wave: usize, place: usize| {
            let random = spread(1_000 + (wave * (LENGTHS + 1) + place) as u64);
            if place == LENGTHS { std::f64::consts::PI * random } else { 0.5 * random }
        };
        std::array::from_fn(|wave| std::array::from_fn(|place| one(wave, place)))
    })
}

/// The fingerprint of a structure; nothing where it has no neighbour list.
pub(super) fn fingerprint(structure: &Structure) -> Option<Fingerprint> {
    let Structure { geometry, elements, .. } = structure;
    let list = neighbour_list(geometry, REACH).ok()?;
    let weights: Vec<[f64; 2]> = elements.iter().map(|&element| weights(element)).collect();
    let mut sums = [0.0; NUMBERS];
    for atom in 0..elements.len() {
        let range = list.offsets[atom]..list.offsets[atom + 1];
        let neighbours = list.senders[range.clone()].iter().map(|&sender| weights[sender as usize][0]);
        let lengths = lengths(neighbours.zip(&list.vectors[range]));
        let own = weights[atom][1];
        for (sum, length) in sums.iter_mut().zip(&lengths) {
            *sum += own * length;
        }
        for (sum, wave) in sums[LENGTHS..].iter_mut().zip(waves()) {
            let phase: f64 = wave.iter().zip(&lengths).map(|(a, b)| a * b).sum();
            *sum += own * (phase + wave[LENGTHS]).cos();
        }
    }
    sums.iter_mut().for_each(|sum| *sum /= elements.len().max(1) as f64);
    sums[LENGTHS + WAVES..].copy_from_slice(&beyond(geometry));
    Some(sums)
}

/// Lengths of what an atom sees, from weights and vectors of its neighbours.
fn lengths<'a>(neighbours: impl Iterator<Item = (f64, &'a [f64; 3])>) -> [f64; LENGTHS] {
    let mut scalars = [0.0; WINDOWS];
    let mut vectors = [Vector3::zeros(); WINDOWS];
    // xx, yy, zz, yz, xz, xy.
    let mut tensors = [[0.0; 6]; WINDOWS];
    for (weight, vector) in neighbours {
        let vector = Vector3::from(*vector);
        let distance = vector.norm();
        if distance == 0.0 {
            continue;
        }
        let unit = vector / distance;
        let fade = weight * (1.0 - (distance / REACH).powi(2)).max(0.0).powi(3);
        let (x, y, z) = (unit.x, unit.y, unit.z);
        let products = [x * x, y * y, z * z, y * z, x * z, x * y];
        for (window, middle) in MIDDLES.iter().enumerate() {
            let own = fade * (-0.5 * ((distance - middle) / WIDTH).powi(2)).exp();
            scalars[window] += own;
            vectors[window] += own * unit;
            tensors[window].iter_mut().zip(&products).for_each(|(sum, product)| *sum += own * product);
        }
    }
    let tensor = |window: usize| {
        let [xx, yy, zz, yz, xz, xy] = tensors[window];
        let third = scalars[window] / 3.0;
        let diagonal = (xx - third).powi(2) + (yy - third).powi(2) + (zz - third).powi(2);
        (diagonal + 2.0 * (yz * yz + xz * xz + xy * xy)).sqrt()
    };
    std::array::from_fn(|place| match (place / WINDOWS, place % WINDOWS) {
        (0, window) => scalars[window],
        (1, window) => vectors[window].norm(),
        (2, window) => tensor(window),
        (_, window) => (vectors[window] + vectors[window + 1]).norm(),
    })
}

/// What windows do not see: how atoms are spread in free directions, and how much room each has in those that repeat.
fn beyond(geometry: &Geometry) -> [f64; 3] {
    let Geometry { positions, cell, periodic } = geometry;
    let count = positions.len().max(1) as f64;
    let rows: Vec<Vector3<f64>> =
        (0..3).filter(|&k| periodic[k]).filter_map(|k| cell.map(|cell| cell.0[k].into())).collect();
    let room = match rows.as_slice() {
        [] => 0.0,
        [a] => a.norm() / count,
        [a, b] => (a.cross(b).norm() / count).sqrt(),
        [a, b, c, ..] => (a.dot(&b.cross(c)).abs() / count).cbrt(),
    };
    if rows.len() == 3 {
        return [room, 0.0, 0.0];
    }
    let mean = positions.iter().map(|x| Vector3::from(*x)).sum::<Vector3<f64>>() / count;
    let arms = positions.iter().map(|x| Vector3::from(*x) - mean);
    let moments: Matrix3<f64> = arms.clone().map(|arm| arm * arm.transpose()).sum::<Matrix3<f64>>() / count;
    match rows.as_slice() {
        [] => {
            let mut spreads = moments.symmetric_eigenvalues();
            spreads.as_mut_slice().sort_unstable_by(f64::total_cmp);
            [spreads[0], spreads[1], spreads[2]].map(|square| square.max(0.0).sqrt())
        }
        // Atoms may lie in any copy of the cell along directions that repeat: only what is across is told apart.
        [a] => {
            let along = a.normalize();
            [room, (moments.trace() - along.dot(&(moments * along))).max(0.0).sqrt(), 0.0]
        }
        [a, b, ..] => {
            let across = a.cross(b).normalize();
            [room, across.dot(&(moments * across)).max(0.0).sqrt(), 0.0]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isograd_structure::Cell;
    use nalgebra::{Rotation3, Unit};

    fn apart(a: &Structure, b: &Structure) -> f64 {
        let pairs = fingerprint(a).unwrap().into_iter().zip(fingerprint(b).unwrap());
        pairs.map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
    }

    /// The distance of two structures by the metric of the first.
    fn distance(a: &Structure, b: &Structure) -> f64 {
        let own = difference(&fingerprint(b).unwrap(), &fingerprint(a).unwrap());
        let mut changes = Changes::new();
        (0..8).for_each(|number| changes.add(&Changes::of(a, number)));
        let measured = changes.metric().unwrap().apply(&own);
        f64::from(measured.iter().map(|x| x * x).sum::<f32>().sqrt())
    }

    fn atoms(symbols: &str, positions: Vec<[f64; 3]>) -> Structure {
        let elements = symbols.split(' ').map(|symbol| symbol.parse().unwrap()).collect();
        Structure { elements, geometry: Geometry { positions, ..Geometry::default() }, ..Structure::default() }
    }

    fn molecule() -> Structure {
        let positions = vec![[0.0, 0.0, 0.0], [1.4, 0.1, 0.0], [2.0, 1.3, 0.3], [-0.5, 0.9, 0.2], [-0.4, -0.6, -0.8]];
        atoms("C C O H H", positions)
    }

    /// Rock salt in its conventional cell, a little distorted.
    fn crystal() -> Structure {
        let mut positions = Vec::new();
        for corner in [[0.0, 0.0, 0.0], [0.0, 2.8, 2.8], [2.8, 0.0, 2.8], [2.8, 2.8, 0.0]] {
            positions.push(corner);
            positions.push([corner[0] + 2.8, corner[1] + 0.1, corner[2]]);
        }
        let mut structure = atoms("Na Cl Na Cl Na Cl Na Cl", positions);
        structure.geometry.cell = Some(Cell([[5.6, 0.0, 0.0], [0.0, 5.6, 0.0], [0.0, 0.0, 5.6]]));
        structure.geometry.periodic = [true; 3];
        structure
    }

    /// Turned, moved, and its atoms numbered the other way round.
    fn turned(structure: &Structure) -> Structure {
        let axis = Unit::new_normalize(Vector3::new(1.0, -0.4, 0.7));
        let rotation = Rotation3::from_axis_angle(&axis, 1.1);
        let place = |x: &[f64; 3]| (rotation * Vector3::from(*x) + Vector3::new(3.0, -1.0, 0.5)).into();
        let mut other = structure.clone();
        other.geometry.positions = structure.geometry.positions.iter().rev().map(place).collect();
        other.elements.reverse();
        if let Some(cell) = &mut other.geometry.cell {
            cell.0 = cell.0.map(|row| (rotation * Vector3::from(row)).into());
        }
        other
    }

    #[test]
    fn the_same_structure_has_the_same_numbers() {
        for structure in [molecule(), crystal()] {
            assert!(apart(&structure, &turned(&structure)) < 1e-10);
            let mut mirrored = structure.clone();
            mirrored.geometry.positions.iter_mut().for_each(|x| x[0] = -x[0]);
            mirrored.geometry.cell.iter_mut().for_each(|cell| cell.0.iter_mut().for_each(|row| row[0] = -row[0]));
            assert!(apart(&structure, &mirrored) < 1e-10);
        }
    }

    #[test]
    fn lattice_vectors_may_be_chosen_otherwise() {
        let crystal = crystal();
        let mut skewed = crystal.clone();
        skewed.geometry.cell = Some(Cell([[5.6, 0.0, 0.0], [5.6, 5.6, 0.0], [-5.6, 5.6, 5.6]]));
        skewed.geometry.positions[2][1] += 5.6;
        assert!(apart(&crystal, &skewed) < 1e-10);
        let mut doubled = crystal.clone();
        let copies: Vec<[f64; 3]> = crystal.geometry.positions.iter().map(|x| [x[0] + 5.6, x[1], x[2]]).collect();
        doubled.geometry.positions.extend(copies);
        doubled.elements.extend(crystal.elements.clone());
        doubled.geometry.cell = Some(Cell([[11.2, 0.0, 0.0], [0.0, 5.6, 0.0], [0.0, 0.0, 5.6]]));
        assert!(apart(&crystal, &doubled) < 1e-10);
    }

    #[test]
    fn other_structures_have_other_numbers_in_proportion() {
        for structure in [molecule(), crystal()] {
            let response = response(&structure).unwrap();
            for by in [1e-3, 1e-2, 3e-2] {
                let mut moved = structure.clone();
                let atom = &mut moved.geometry.positions[1];
                // In a direction that no mirror turns round: along one that it does, changes are of second order.
                [0.5, 0.7, 0.5].iter().zip(atom).for_each(|(part, x)| *x += part * by);
                let found = apart(&structure, &moved) / response;
                assert!(found > 0.2 * by && found < 5.0 * by, "{found} for {by}");
                // What moves the whole is no difference; and moving one of four equivalent atoms makes the same one as moving all
                // of them by a fourth, which is half as far.
                let found = distance(&structure, &moved);
                assert!(found > 0.2 * by && found < 1.3 * by, "{found} for {by}");
            }
            let mut swapped = structure.clone();
            swapped.elements.swap(1, 2);
            assert!(apart(&structure, &swapped) / response > 0.05);
        }
    }

    #[test]
    fn a_perfect_lattice_notices_first_displacements() {
        let mut perfect = crystal();
        perfect.geometry.positions.iter_mut().for_each(|x| x.iter_mut().for_each(|x| *x = (*x / 2.8).round() * 2.8));
        let mut moved = perfect.clone();
        moved.geometry.positions[3][0] += 0.01;
        let found = apart(&perfect, &moved) / response(&crystal()).unwrap();
        assert!(found > 2e-3 && found < 5e-2, "{found}");
    }

    #[test]
    fn what_lies_beyond_the_windows_is_seen_too() {
        let pair = |distance: f64| atoms("Ar Ar", vec![[0.0; 3], [distance, 0.0, 0.0]]);
        assert!(apart(&pair(20.0), &pair(20.1)) > 0.01);
        let single = |edge: f64| {
            let mut structure = atoms("Cu", vec![[0.0; 3]]);
            structure.geometry.cell = Some(Cell([[edge, 0.0, 0.0], [0.0, edge, 0.0], [0.0, 0.0, edge]]));
            structure.geometry.periodic = [true; 3];
            structure
        };
        assert!(apart(&single(9.0), &single(9.1)) > 0.01);
        assert!(response(&single(2.5)).unwrap() > 0.1 && response(&atoms("H", vec![[0.0; 3]])) == Some(0.0));
    }
}
