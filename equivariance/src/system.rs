//! What a model is given: nodes in space, with whatever else it reads.

use nalgebra::DMatrix;
use serde::{Deserialize, Serialize};

use crate::Rows;

/// N nodes in D dimensions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct System {
    /// Positions, `[N, D]`.
    pub positions: Rows,
    /// Kind of each node, `[N]`.
    pub species: Vec<u32>,
    /// Numbers of each node that no transformation changes, `[N, K]`.
    pub features: Rows,
    /// Vectors of each node that rotate but do not move with a translation, as velocities: any
    /// number of arrays `[N, D]`.
    pub vectors: Vec<Rows>,
    /// Lattice vectors as rows, `[D, D]`.
    pub cell: Option<Rows>,
    /// Along which lattice vectors the system repeats, `[D]`.
    pub periodic: Vec<bool>,
}

impl System {
    /// A system without features, vectors and cell.
    ///
    /// # Panics
    /// If there is not one species per position.
    pub fn free(positions: Rows, species: Vec<u32>) -> Self {
        assert_eq!(positions.rows(), species.len(), "System: positions and species");
        let periodic = vec![false; positions.columns()];
        Self { positions, species, features: Rows::empty(0), vectors: Vec::new(), cell: None, periodic }
    }

    /// N.
    pub fn len(&self) -> usize {
        self.species.len()
    }

    /// Whether there are no nodes.
    pub fn is_empty(&self) -> bool {
        self.species.is_empty()
    }

    /// D.
    pub fn dimensions(&self) -> usize {
        self.positions.columns()
    }

    /// Whether it repeats in any direction.
    pub fn is_periodic(&self) -> bool {
        self.cell.is_some() && self.periodic.contains(&true)
    }

    /// The volume of the cell, an area in two dimensions; `None` without a cell.
    pub fn volume(&self) -> Option<f64> {
        self.cell.as_ref().map(|cell| cell.matrix().determinant().abs())
    }

    /// The strained system: positions and lattice vectors `x` become `x (1 + strain)`, `strain` as rows,
    /// `[D, D]`.
    pub fn strained(&self, strain: &Rows) -> Self {
        let matrix = strain.matrix().transpose() + DMatrix::identity(self.dimensions(), self.dimensions());
        Self {
            positions: self.positions.mapped(&matrix),
            cell: self.cell.as_ref().map(|cell| cell.mapped(&matrix)),
            ..self.clone()
        }
    }

    /// The mean position, `[D]`.
    pub fn centroid(&self) -> Vec<f64> {
        let mut sum = vec![0.0; self.dimensions()];
        for row in self.positions.iter() {
            for (sum, value) in sum.iter_mut().zip(row) {
                *sum += value / self.len() as f64;
            }
        }
        sum
    }

    /// The named nodes, in their order.
    pub fn select(&self, nodes: &[usize]) -> Self {
        Self {
            positions: self.positions.select(nodes),
            species: nodes.iter().map(|&node| self.species[node]).collect(),
            features: self.features.select(nodes),
            vectors: self.vectors.iter().map(|vectors| vectors.select(nodes)).collect(),
            cell: self.cell.clone(),
            periodic: self.periodic.clone(),
        }
    }

    /// The nodes of `self`, then those of `other`; the cell of `self`.
    pub fn joined(&self, other: &Self) -> Self {
        let join = |a: &Rows, b: &Rows| Rows::new(a.columns(), [a.values(), b.values()].concat());
        Self {
            positions: join(&self.positions, &other.positions),
            species: [self.species.as_slice(), &other.species].concat(),
            features: join(&self.features, &other.features),
            vectors: self.vectors.iter().zip(&other.vectors).map(|(a, b)| join(a, b)).collect(),
            cell: self.cell.clone(),
            periodic: self.periodic.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_relative_eq;

    #[test]
    fn a_strain_multiplies_rows_from_the_right() {
        let cell = Rows::new(2, vec![2.0, 0.0, 1.0, 3.0]);
        let system = System {
            cell: Some(cell),
            periodic: vec![true; 2],
            ..System::free(Rows::new(2, vec![1.0, 10.0]), vec![0])
        };
        // Not symmetric, so that both orders differ.
        let strained = system.strained(&Rows::new(2, vec![0.5, 0.25, 0.0, 0.0]));
        assert_eq!(strained.positions.values(), [1.5, 10.25]);
        assert_eq!(strained.cell.as_ref().map(Rows::values), Some([3.0, 0.5, 1.5, 3.25].as_slice()));
        assert_relative_eq!(system.volume().unwrap_or(f64::NAN), 6.0, epsilon = 1e-12);
        assert_relative_eq!(strained.volume().unwrap_or(f64::NAN), 9.0, epsilon = 1e-12);
    }
}
