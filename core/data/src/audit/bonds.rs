//! The sign of forces where no two frames are near to each other: a bond that is shorter than most of its kind is pushed apart,
//! a longer one is pulled together. Gradients do the opposite.

use std::collections::BTreeMap;

use isograd_structure::{Element, Structure, neighbour_list};

/// Frames that are looked at, and the most atoms of one.
const FRAMES: usize = 2000;
const ATOMS: usize = 500;

/// Neighbours that are farther apart, in angstrom, are no bond.
const LONGEST: f64 = 3.2;

/// Forces that are larger, in eV/angstrom, hardly count for more: those of the shortest bonds would drown all others.
const LARGE: f64 = 2.0;

/// Bonds from which on there is an answer.
const ENOUGH: usize = 64;

/// Sums over the bonds of two elements.
#[derive(Debug, Clone, Copy, Default)]
struct Sums {
    count: f64,
    length: f64,
    push: f64,
    lengths: f64,
    pushes: f64,
    both: f64,
}

/// Atoms and their nearest neighbours, as frames are met.
#[derive(Debug, Clone, Default)]
pub(super) struct Bonds {
    frames: usize,
    kinds: BTreeMap<(Element, Element), Sums>,
}

/// How forces on two atoms go with the length of their bond.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Restoring {
    /// The correlation of a bond's length and of how much its ends are pushed apart, each held against the mean of its two
    /// elements: negative of forces, positive of gradients.
    pub(super) correlation: f64,
    /// Bonds that were looked at.
    pub(super) bonds: usize,
}

impl Bonds {
    /// Looks at a structure, if not enough have been looked at.
    pub(super) fn add(&mut self, structure: &Structure) {
        let Some(forces) = structure.forces.as_ref().filter(|_| (2..=ATOMS).contains(&structure.len())) else { return };
        if self.frames == FRAMES {
            return;
        }
        let Ok(list) = neighbour_list(&structure.geometry, LONGEST) else { return };
        self.frames += 1;
        for (atom, edges) in list.offsets.windows(2).enumerate() {
            let square = |edge: &usize| list.vectors[*edge].iter().map(|x| x * x).sum::<f64>();
            let Some(nearest) = (edges[0]..edges[1]).min_by(|a, b| square(a).total_cmp(&square(b))) else { continue };
            let other = list.senders[nearest] as usize;
            let length = square(&nearest).sqrt();
            if other == atom || length == 0.0 {
                continue;
            }
            let apart =
                (0..3).map(|k| (forces[other][k] - forces[atom][k]) * list.vectors[nearest][k]).sum::<f64>() / length;
            let [a, b] = [structure.elements[atom], structure.elements[other]];
            self.kinds.entry((a.min(b), a.max(b))).or_default().add(length, apart / (apart.abs() + LARGE));
        }
    }

    /// What they say together; nothing of few bonds, or of bonds that are all alike.
    pub(super) fn restoring(&self) -> Option<Restoring> {
        let kinds = || self.kinds.values();
        let bonds = kinds().map(|own| own.count).sum::<f64>() as usize;
        let sum = |of: fn(&Sums) -> f64| kinds().map(of).sum::<f64>();
        let lengths = sum(|own| own.lengths - own.length * own.length / own.count);
        let pushes = sum(|own| own.pushes - own.push * own.push / own.count);
        let both = sum(|own| own.both - own.length * own.push / own.count);
        let sizes = (lengths * pushes).sqrt();
        (bonds >= ENOUGH && sizes > 0.0).then(|| Restoring { correlation: both / sizes, bonds })
    }
}

impl Sums {
    fn add(&mut self, length: f64, push: f64) {
        self.count += 1.0;
        self.length += length;
        self.push += push;
        self.lengths += length * length;
        self.pushes += push * push;
        self.both += length * push;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isograd_structure::Geometry;

    /// A dimer of these elements, along a direction of its own, whose atoms are pushed apart by so much.
    fn dimer(elements: [&str; 2], length: f64, push: f64) -> Structure {
        let along = [0.6, 0.0, 0.8];
        Structure {
            geometry: Geometry { positions: vec![[1.0; 3], along.map(|x| 1.0 + x * length)], ..Geometry::default() },
            elements: elements.map(|symbol| symbol.parse().unwrap()).into(),
            forces: Some(vec![along.map(|x| -0.5 * x * push), along.map(|x| 0.5 * x * push)]),
            ..Structure::default()
        }
    }

    fn looked(sign: f64, count: usize) -> Option<Restoring> {
        let mut bonds = Bonds::default();
        for k in 0..count {
            // Long bonds are stiff ones here: of all bonds together, length says nothing of the force.
            let (elements, rest, stiffness) =
                if k % 2 == 0 { (["H", "O"], 1.0, 1.0) } else { (["Cu", "Cu"], 2.5, 9.0) };
            let stretch = 0.02 * (k % 11) as f64 - 0.1;
            bonds.add(&dimer(elements, rest + stretch, -sign * stiffness * (stretch - 0.03)));
        }
        bonds.restoring()
    }

    #[test]
    fn forces_restore_bonds_and_gradients_do_not() {
        let Restoring { correlation, bonds } = looked(1.0, 100).unwrap();
        assert!(correlation < -0.75 && bonds == 200, "{correlation} of {bonds}");
        assert!((looked(-1.0, 100).unwrap().correlation + correlation).abs() < 1e-12);
        assert_eq!(looked(1.0, 30), None);
    }

    #[test]
    fn nothing_is_said_of_bonds_that_are_alike() {
        let mut bonds = Bonds::default();
        (0..100).for_each(|_| bonds.add(&dimer(["H", "H"], 0.75, 0.5)));
        assert!(bonds.restoring().is_none_or(|own| own.correlation.abs() < 0.3), "{:?}", bonds.restoring());
    }
}
