//! A neighbour list that is kept while atoms move a little (Verlet 1967, doi:10.1103/PhysRev.159.98).
//!
//! The list holds all pairs closer than the cutoff and a skin. As long as no atom has moved by half the skin, a pair that is
//! not in it is still beyond the cutoff; whoever asks gets those of its pairs that are within.

use crate::{Geometry, NeighbourList, Result, neighbour_list};

/// A neighbour list for structures that follow each other, as in a simulation.
#[derive(Debug, Clone)]
pub struct VerletList {
    cutoff: f64,
    skin: f64,
    made: Option<Made>,
}

/// The pairs within cutoff and skin, and where atoms were.
#[derive(Debug, Clone)]
struct Made {
    geometry: Geometry,
    wide: NeighbourList,
    /// The translation of the sender of each edge, in angstrom.
    translations: Vec<[f64; 3]>,
}

impl VerletList {
    /// A list of edges shorter than `cutoff` angstrom, with a skin of so many angstrom; without one, each list is made anew.
    pub fn new(cutoff: f64, skin: f64) -> Self {
        Self { cutoff, skin: skin.max(0.0), made: None }
    }

    /// The edges of a structure: those of [`neighbour_list`] in their order, and vectors that differ by rounding.
    ///
    /// # Errors
    /// As [`neighbour_list`].
    pub fn list(&mut self, geometry: &Geometry) -> Result<NeighbourList> {
        if let Some(made) = self.made.as_ref().filter(|made| made.holds(geometry, 0.5 * self.skin)) {
            return Ok(made.within(geometry, self.cutoff));
        }
        // What is too thin for the skin may not be so for the cutoff.
        let skinned = self.skin > 0.0 && self.cutoff > 0.0;
        let wide = if skinned { neighbour_list(geometry, self.cutoff + self.skin).ok() } else { None };
        self.made = wide.map(|wide| Made::new(geometry, wide));
        match &self.made {
            Some(made) => Ok(made.within(geometry, self.cutoff)),
            None => neighbour_list(geometry, self.cutoff),
        }
    }
}

impl Made {
    fn new(geometry: &Geometry, wide: NeighbourList) -> Self {
        let translation = |&shift: &[i32; 3]| geometry.cell.map_or([0.0; 3], |cell| cell.translation(shift));
        let translations = wide.shifts.iter().map(translation).collect();
        Self { geometry: geometry.clone(), wide, translations }
    }

    /// Whether all atoms are closer than `limit` angstrom to where they were, in the same cell.
    fn holds(&self, geometry: &Geometry, limit: f64) -> bool {
        let Geometry { positions, cell, periodic } = &self.geometry;
        // Of a position that is not a number nothing is known.
        let stayed = |(then, now): (&[f64; 3], &[f64; 3])| square(less(now, then)) < limit * limit;
        *cell == geometry.cell
            && *periodic == geometry.periodic
            && positions.len() == geometry.positions.len()
            && positions.iter().zip(&geometry.positions).all(stayed)
    }

    /// The edges that are shorter than the cutoff now.
    fn within(&self, geometry: &Geometry, cutoff: f64) -> NeighbourList {
        let positions = &geometry.positions;
        let mut list = NeighbourList { offsets: vec![0], ..NeighbourList::default() };
        for (receiver, range) in self.wide.offsets.windows(2).enumerate() {
            for edge in range[0]..range[1] {
                let sender = self.wide.senders[edge];
                let apart = less(&positions[sender as usize], &positions[receiver]);
                let vector = std::array::from_fn(|k| apart[k] + self.translations[edge][k]);
                if square(vector) < cutoff * cutoff {
                    list.senders.push(sender);
                    list.shifts.push(self.wide.shifts[edge]);
                    list.vectors.push(vector);
                }
            }
            list.offsets.push(list.senders.len());
        }
        list
    }
}

fn less(a: &[f64; 3], b: &[f64; 3]) -> [f64; 3] {
    std::array::from_fn(|k| a[k] - b[k])
}

fn square(vector: [f64; 3]) -> f64 {
    vector.iter().map(|x| x * x).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cell;

    fn cube(edge: f64) -> Geometry {
        let positions = (0..8).map(|k| [k & 1, k >> 1 & 1, k >> 2].map(|x| 0.5 * edge * f64::from(x) + 0.1)).collect();
        let cell = Cell([[edge, 0.0, 0.0], [0.0, edge, 0.0], [0.0, 0.0, edge]]);
        Geometry { positions, cell: Some(cell), periodic: [true, true, false] }
    }

    /// Whether the list is the one that was made for the geometry before.
    fn kept(list: &VerletList, before: &Geometry) -> bool {
        list.made.as_ref().is_some_and(|made| made.geometry == *before)
    }

    #[test]
    fn a_list_is_kept_until_an_atom_has_moved_by_half_the_skin() {
        let first = cube(4.0);
        let mut list = VerletList::new(3.0, 0.5);
        list.list(&first).unwrap();
        let mut near = first.clone();
        near.positions[3][1] += 0.249;
        list.list(&near).unwrap();
        assert!(kept(&list, &first));
        let mut far = first.clone();
        far.positions[3][1] += 0.251;
        list.list(&far).unwrap();
        assert!(kept(&list, &far));
    }

    #[test]
    fn another_cell_or_number_of_atoms_is_another_structure() {
        let first = cube(4.0);
        let changes: [fn(&mut Geometry); 3] = [
            |geometry| geometry.cell = geometry.cell.map(|cell| Cell(cell.0.map(|row| row.map(|x| 1.001 * x)))),
            |geometry| geometry.periodic = [true; 3],
            |geometry| geometry.positions.truncate(7),
        ];
        for change in changes {
            let mut list = VerletList::new(3.0, 0.5);
            list.list(&first).unwrap();
            let mut second = first.clone();
            change(&mut second);
            let found = list.list(&second).unwrap();
            assert!(kept(&list, &second));
            assert_eq!(found.senders, neighbour_list(&second, 3.0).unwrap().senders);
        }
    }

    #[test]
    fn what_is_no_structure_is_refused_also_after_one_that_is() {
        let mut list = VerletList::new(3.0, 0.5);
        list.list(&cube(4.0)).unwrap();
        let mut broken = cube(4.0);
        broken.positions[0][0] = f64::NAN;
        assert!(list.list(&broken).is_err());
        assert_eq!(list.list(&cube(4.0)).unwrap().len(), neighbour_list(&cube(4.0), 3.0).unwrap().len());
        assert!(VerletList::new(0.0, 0.5).list(&cube(4.0)).is_err());
    }
}
