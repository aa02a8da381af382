//! Sign and size of forces and stresses, as energies of frames that are near to each other say them.
//!
//! Between two frames that differ by a small `dx`, energies differ by `-(F_1 + F_2) dx / 2` up to third order. How much of this
//! the energies really differ by is a slope: 1 where labels are right, -1 where forces are gradients, another number where
//! they are in another unit than energies and lengths. Frames of other volumes say the same of stresses by
//! `dE/dV = tr(stress) / 3`, tension positive.

use std::collections::HashMap;

use isograd_structure::{Cell, Element, Structure};
use nalgebra::{Matrix3, Vector3};

use super::energies::median;

/// Root mean square of `dx` in angstrom, above which frames say nothing of each other: bonds are not harmonic.
const FARTHEST: f64 = 0.2;

/// Differences of about this root mean square count half as much as very small ones, whose energies may be rounded.
const ROUNDED: f64 = 0.05;

/// Pairs of frames that are remembered, the nearest ones.
const REMEMBERED: usize = 4096;

/// Frames of a kind that later ones are compared with, atoms of all such frames, and comparisons with them.
const KEPT: usize = 48;
const KEPT_ATOMS: usize = 200_000;
const COMPARISONS: usize = 200_000;

/// Relative differences of volumes of frames that are compared.
const VOLUMES: (f64, f64) = (2e-3, 0.1);

/// Compositions, and frames of each, whose volumes are remembered.
const COMPOSITIONS: usize = 256;
const FRAMES: usize = 64;

/// Differences that are so many medians of deviations from the slope of most are left out.
const TRIMMED: f64 = 12.0;

/// What labels say of a difference of energies, and the difference that was found, in eV, for each step of the root mean square of `dx`
/// or, of stresses, as they are.
pub(crate) type Difference = [f64; 2];

/// How differences of energies follow what other labels say of them.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Slope {
    /// Differences of energies over what labels say: 1 where they belong together.
    pub slope: f64,
    /// How well they follow it, whatever the slope: 1 or -1 fully, 0 not at all.
    pub agreement: f64,
    /// Pairs of frames that were compared.
    pub pairs: usize,
}

impl Slope {
    /// The least-squares slope of differences, without those that are far from what most say.
    fn of(differences: &[Difference]) -> Option<Self> {
        let slope = middle(differences)?;
        let off = |[said, found]: &Difference| (found - slope * said).abs();
        let limit = TRIMMED * median(&mut differences.iter().map(off).collect::<Vec<_>>());
        let kept: Vec<Difference> = differences.iter().filter(|own| off(own) <= limit).copied().collect();
        Self::of_all(&kept)
    }

    fn of_all(differences: &[Difference]) -> Option<Self> {
        let sum = |of: fn(&Difference) -> f64| differences.iter().map(of).sum::<f64>();
        let (said, found, both) = (sum(|d| d[0] * d[0]), sum(|d| d[1] * d[1]), sum(|d| d[0] * d[1]));
        let sizes = (said * found).sqrt();
        (sizes > 0.0).then(|| Self { slope: both / said, agreement: both / sizes, pairs: differences.len() })
    }
}

/// The slope that half of what labels say is below, and half above: a single energy that is wrong does not change it.
fn middle(differences: &[Difference]) -> Option<f64> {
    let mut slopes: Vec<(f64, f64)> =
        differences.iter().filter(|own| own[0] != 0.0).map(|[said, found]| (found / said, said.abs())).collect();
    slopes.sort_by(|a, b| a.0.total_cmp(&b.0));
    let half = 0.5 * slopes.iter().map(|(_, weight)| weight).sum::<f64>();
    let mut sum = 0.0;
    let reached = |(_, weight): &&(f64, f64)| {
        sum += weight;
        sum >= half
    };
    slopes.iter().find(reached).map(|(slope, _)| *slope)
}

/// A frame that others are compared with.
#[derive(Debug, Clone)]
struct Kept {
    elements: Vec<Element>,
    positions: Vec<[f64; 3]>,
    cell: Option<Cell>,
    periodic: [bool; 3],
    energy: f64,
    forces: Vec<[f64; 3]>,
}

impl Kept {
    fn of(structure: &Structure) -> Option<Self> {
        Some(Self {
            elements: structure.elements.clone(),
            positions: structure.geometry.positions.clone(),
            cell: structure.geometry.cell,
            periodic: structure.geometry.periodic,
            energy: structure.energy?,
            forces: structure.forces.clone()?,
        })
    }

    /// Root mean square of `dx`, and what forces and energies say of the difference; nothing where frames are not near.
    fn against(&self, other: &Self) -> Option<(f64, Difference)> {
        let repeats = self.periodic.contains(&true);
        if self.elements != other.elements || self.periodic != other.periodic || (repeats && !self.same_cell(other)) {
            return None;
        }
        let rotation = if repeats { Matrix3::identity() } else { self.alignment(other) };
        let (from, to) = (centre(&self.positions), centre(&other.positions));
        let (mut squares, mut said) = (0.0, 0.0);
        for atom in 0..self.elements.len() {
            let mut dx =
                rotation * (Vector3::from(other.positions[atom]) - to) - (Vector3::from(self.positions[atom]) - from);
            if repeats {
                dx = self.nearest_image(Vector3::from(other.positions[atom]) - Vector3::from(self.positions[atom]));
            }
            let force = 0.5 * (Vector3::from(self.forces[atom]) + rotation * Vector3::from(other.forces[atom]));
            squares += dx.norm_squared();
            said -= force.dot(&dx);
        }
        let distance = (squares / self.elements.len().max(1) as f64).sqrt();
        let found = other.energy - self.energy;
        (distance > 1e-6 && distance <= FARTHEST && found != 0.0).then_some((distance, [said, found]))
    }

    fn same_cell(&self, other: &Self) -> bool {
        let rows = |kept: &Self| kept.cell.map_or([[0.0; 3]; 3], |cell| cell.0);
        rows(self).as_flattened().iter().zip(rows(other).as_flattened()).all(|(a, b)| (a - b).abs() < 1e-6)
    }

    /// The rotation that lays another frame on this one (Kabsch 1976, doi:10.1107/S0567739476001873).
    fn alignment(&self, other: &Self) -> Matrix3<f64> {
        let (from, to) = (centre(&self.positions), centre(&other.positions));
        let pairs = self.positions.iter().zip(&other.positions);
        let products: Matrix3<f64> =
            pairs.map(|(a, b)| (Vector3::from(*a) - from) * (Vector3::from(*b) - to).transpose()).sum();
        let svd = products.svd(true, true);
        let (Some(u), Some(v_t)) = (svd.u, svd.v_t) else { return Matrix3::identity() };
        let handedness = (u * v_t).determinant().signum();
        u * Matrix3::from_diagonal(&Vector3::new(1.0, 1.0, handedness)) * v_t
    }

    /// A vector without whole lattice vectors of directions that repeat.
    fn nearest_image(&self, vector: Vector3<f64>) -> Vector3<f64> {
        let geometry = isograd_structure::Geometry { positions: Vec::new(), cell: self.cell, periodic: self.periodic };
        let Some(lattice) = geometry.spanning_lattice() else { return vector };
        let Some(inverse) = lattice.try_inverse() else { return vector };
        let fraction = inverse.tr_mul(&vector);
        let whole = Vector3::from_fn(|k, _| if self.periodic[k] { fraction[k].round() } else { 0.0 });
        vector - lattice.tr_mul(&whole)
    }
}

fn centre(positions: &[[f64; 3]]) -> Vector3<f64> {
    positions.iter().map(|x| Vector3::from(*x)).sum::<Vector3<f64>>() / positions.len().max(1) as f64
}

/// Forces of a source, held against energies as frames are met.
#[derive(Debug, Clone, Default)]
pub(super) struct ForceSlope {
    previous: Option<Kept>,
    kept: HashMap<Vec<Element>, Vec<Kept>>,
    atoms: usize,
    comparisons: usize,
    pairs: Vec<(f64, Difference)>,
}

impl ForceSlope {
    /// Compares a frame with the one before it and with some of those before.
    pub(super) fn add(&mut self, structure: &Structure) {
        let Some(own) = Kept::of(structure).filter(|own| own.elements.len() > 1) else { return };
        if let Some(previous) = &self.previous {
            self.pairs.extend(previous.against(&own));
        }
        if self.comparisons < COMPARISONS {
            let others = self.kept.get(&own.elements).map_or(&[][..], Vec::as_slice);
            // The frame before is among them as long as frames are kept.
            let before = others.len().saturating_sub(usize::from(others.len() < KEPT));
            self.comparisons += before;
            self.pairs.extend(others[..before].iter().filter_map(|other| other.against(&own)));
            if others.len() < KEPT && self.atoms < KEPT_ATOMS {
                self.atoms += own.elements.len();
                self.kept.entry(own.elements.clone()).or_default().push(own.clone());
            }
        }
        self.previous = Some(own);
        if self.pairs.len() >= 2 * REMEMBERED {
            self.forget();
        }
    }

    fn forget(&mut self) {
        if self.pairs.len() > REMEMBERED {
            self.pairs.select_nth_unstable_by(REMEMBERED, |a, b| a.0.total_cmp(&b.0));
            self.pairs.truncate(REMEMBERED);
        }
    }

    /// The differences, each divided by about its `dx`.
    pub(super) fn differences(mut self) -> Vec<Difference> {
        self.forget();
        let weighed = |(distance, [said, found]): (f64, Difference)| {
            let weight = 1.0 / (distance * distance + ROUNDED * ROUNDED).sqrt();
            [weight * said, weight * found]
        };
        self.pairs.into_iter().map(weighed).collect()
    }
}

/// Volume, energy and a third of the stress's trace, per atom.
type Strained = [f64; 3];

/// Stresses of a source, held against energies once all frames are known.
#[derive(Debug, Clone, Default)]
pub(super) struct StressSlope {
    strained: HashMap<String, Vec<Strained>>,
}

impl StressSlope {
    /// Remembers what a frame says.
    pub(super) fn add(&mut self, structure: &Structure) {
        let (Some(stress), Some(cell), Some(energy)) = (&structure.stress, &structure.geometry.cell, structure.energy)
        else {
            return;
        };
        let formula = structure.formula();
        if self.strained.len() >= COMPOSITIONS && !self.strained.contains_key(&formula) {
            return;
        }
        let frames = self.strained.entry(formula).or_default();
        if frames.len() < FRAMES {
            let atoms = structure.len() as f64;
            frames.push([cell.volume() / atoms, energy / atoms, (0..3).map(|k| stress[k][k]).sum::<f64>() / 3.0]);
        }
    }

    /// Differences of frames of one composition, neighbours by volume. Frames that are no strained copies of each other have
    /// differences that go both ways.
    pub(super) fn differences(&self) -> Vec<Difference> {
        let mut formulas: Vec<&String> = self.strained.keys().collect();
        formulas.sort_unstable();
        let mut differences = Vec::new();
        for frames in formulas.into_iter().map(|formula| &self.strained[formula]) {
            let mut frames = frames.clone();
            frames.sort_by(|a, b| a[0].total_cmp(&b[0]));
            for pair in frames.windows(2) {
                let [[v, e, p], [w, f, q]] = [pair[0], pair[1]];
                let strain = (w - v) / v;
                if strain >= VOLUMES.0 && strain <= VOLUMES.1 {
                    differences.push([0.5 * (p + q) * (w - v), f - e]);
                }
            }
        }
        differences
    }
}

/// The slope of differences, where there are enough.
pub(super) fn slope(differences: &[Difference], enough: usize) -> Option<Slope> {
    Slope::of(differences).filter(|slope| slope.pairs >= enough)
}

#[cfg(test)]
mod tests {
    use super::*;
    use isograd_structure::Geometry;
    use nalgebra::Rotation3;

    /// Four atoms with a spring between any two, their frames `step` angstrom from each other, and turned.
    fn springs(count: usize, step: f64, factor: f64, turn: bool) -> Vec<Structure> {
        let rest: [[f64; 3]; 4] = [[0.0, 0.0, 0.0], [1.5, 0.1, 0.0], [0.2, 1.4, 0.3], [-0.3, 0.4, 1.6]];
        let frame = |k: usize| {
            let wave = |place: usize| {
                let mixed = (12.9898 * (7919 * k + 104_729 * place + 13) as f64).sin() * 43_758.545;
                step * (2.0 * mixed.rem_euclid(1.0) - 1.0)
            };
            let positions: Vec<Vector3<f64>> =
                (0..4).map(|atom| Vector3::from_fn(|axis, _| rest[atom][axis] + wave(3 * atom + axis))).collect();
            let mut energy = 0.0;
            let mut forces = [Vector3::zeros(); 4];
            for a in 0..4 {
                for b in 0..a {
                    let vector = positions[b] - positions[a];
                    let stretch = vector.norm() - (Vector3::from(rest[b]) - Vector3::from(rest[a])).norm();
                    energy += 6.0 * stretch * stretch;
                    let pull = 12.0 * stretch * vector.normalize();
                    forces[a] += pull;
                    forces[b] -= pull;
                }
            }
            let angle = if turn { 0.9 * k as f64 } else { 0.0 };
            let rotation = Rotation3::from_euler_angles(angle, 0.3 * angle, -angle);
            Structure {
                geometry: Geometry {
                    positions: positions.iter().map(|x| (rotation * x).into()).collect(),
                    ..Geometry::default()
                },
                elements: ["C", "H", "H", "O"].map(|symbol| symbol.parse().unwrap()).into(),
                energy: Some(energy - 100.0),
                forces: Some(forces.iter().map(|force| (factor * (rotation * force)).into()).collect()),
                ..Structure::default()
            }
        };
        (0..count).map(frame).collect()
    }

    fn forces(frames: &[Structure]) -> Option<Slope> {
        let mut slope = ForceSlope::default();
        frames.iter().for_each(|frame| slope.add(frame));
        super::slope(&slope.differences(), 16)
    }

    #[test]
    fn forces_of_right_labels_have_a_slope_of_one() {
        for turn in [false, true] {
            let found = forces(&springs(40, 0.05, 1.0, turn)).unwrap();
            assert!((found.slope - 1.0).abs() < 0.02 && found.agreement > 0.99, "{found:?}");
            assert!(found.pairs > 700);
        }
        assert_eq!(forces(&springs(3, 0.05, 1.0, true)), None);
        assert_eq!(forces(&springs(40, 2.0, 1.0, true)), None);
    }

    #[test]
    fn signs_and_units_are_told_by_the_slope() {
        for factor in [-1.0, 0.529, 23.06] {
            let found = forces(&springs(40, 0.05, factor, true)).unwrap();
            assert!((found.slope * factor - 1.0).abs() < 0.02 && found.agreement.abs() > 0.99, "{found:?}");
        }
        let mut frames = springs(40, 0.05, 1.0, false);
        let others: Vec<_> = (0..40).map(|k| frames[(7 * k + 3) % 40].forces.clone()).collect();
        frames.iter_mut().zip(others).for_each(|(frame, other)| frame.forces = other);
        assert!(forces(&frames).unwrap().agreement.abs() < 0.5);
    }

    #[test]
    fn a_wrong_energy_does_not_bend_the_slope() {
        let mut frames = springs(40, 0.05, 1.0, false);
        frames[3].energy = Some(-9e4);
        let found = forces(&frames).unwrap();
        assert!((found.slope - 1.0).abs() < 0.02 && found.agreement > 0.99, "{found:?}");
    }

    #[test]
    fn atoms_that_left_the_cell_are_where_they_were() {
        let cell = Some(Cell([[9.0, 0.0, 0.0], [1.0, 9.0, 0.0], [0.0, 0.0, 9.0]]));
        let mut frames = springs(40, 0.05, 1.0, false);
        for (place, frame) in frames.iter_mut().enumerate() {
            frame.geometry.cell = cell;
            frame.geometry.periodic = [true; 3];
            let atom = &mut frame.geometry.positions[place % 4];
            (atom[0], atom[1]) = (atom[0] + 1.0, atom[1] + 9.0);
        }
        let found = forces(&frames).unwrap();
        assert!((found.slope - 1.0).abs() < 0.02 && found.agreement > 0.99, "{found:?}");
    }

    /// A crystal with `E = k (V - V_0)^2 / (2 V_0)` and the stress that follows.
    fn strained(count: usize, factor: f64, noise: f64) -> Vec<Difference> {
        let mut stresses = StressSlope::default();
        for k in 0..count {
            let edge = 3.8 + 0.03 * k as f64;
            let rest = edge.powi(3) - 64.0;
            let wobble = noise * (7.3 * k as f64).sin();
            let pressure = factor * 0.8 * rest / 64.0;
            stresses.add(&Structure {
                geometry: Geometry {
                    positions: vec![[0.0; 3]],
                    cell: Some(Cell([[edge, 0.0, 0.0], [0.0, edge, 0.0], [0.0, 0.0, edge]])),
                    periodic: [true; 3],
                },
                elements: Element::from_number(29).into_iter().collect(),
                energy: Some(0.4 * rest * rest / 64.0 + wobble - 3.0),
                stress: Some([[pressure, 0.0, 0.0], [0.0, pressure, 0.0], [0.0, 0.0, pressure]]),
                ..Structure::default()
            });
        }
        stresses.differences()
    }

    #[test]
    fn stresses_have_a_slope_too() {
        let right = slope(&strained(20, 1.0, 0.0), 8).unwrap();
        assert!((right.slope - 1.0).abs() < 0.05 && right.agreement > 0.99, "{right:?}");
        let other = slope(&strained(20, -1602.0, 0.0), 8).unwrap();
        assert!((other.slope * -1602.0 - 1.0).abs() < 0.05, "{other:?}");
        assert!(slope(&strained(20, -1.0, 30.0), 8).unwrap().agreement.abs() < 0.5);
        assert_eq!(slope(&strained(5, 1.0, 0.0), 8), None);
    }
}
