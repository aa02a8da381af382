//! What a model is given: nodes in space, with whatever else it reads.

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
