//! What is done to a system, and what its outputs should then be.

use serde::{Deserialize, Serialize};

use crate::description::{Description, Kind};
use crate::model::Outputs;
use crate::rows::map_blocks;
use crate::{Rows, System};

/// Something done to a system, all in double precision.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Transformation {
    /// `x -> Q x` for positions, vectors and cell; Q as rows, `[D, D]`.
    Orthogonal(Rows),
    /// `x -> x + t` for positions.
    Translation(Vec<f64>),
    /// Node k of the new system is node `order[k]` of the old one.
    Permutation(Vec<usize>),
    /// Node i moves by `wraps[i][k]` times lattice vector k.
    Wrapping(Vec<Vec<i32>>),
    /// Lattice vectors become these integer combinations of the old ones.
    LatticeBasis(Vec<Vec<i32>>),
    /// The cell and its nodes are repeated so many times along each lattice vector.
    Supercell(Vec<usize>),
}

impl Transformation {
    /// The transformed system.
    pub fn apply(&self, system: &System) -> System {
        let mut new = system.clone();
        match self {
            Self::Orthogonal(matrix) => {
                let matrix = matrix.matrix();
                new.positions = system.positions.mapped(&matrix);
                new.vectors = system.vectors.iter().map(|vectors| vectors.mapped(&matrix)).collect();
                new.cell = system.cell.as_ref().map(|cell| cell.mapped(&matrix));
            }
            Self::Translation(step) => new.positions = system.positions.moved(step),
            Self::Permutation(order) => new = system.select(order),
            Self::Wrapping(_) => {
                for node in 0..system.len() {
                    let shift = self.shift(system, node);
                    for (value, step) in new.positions.row_mut(node).iter_mut().zip(shift) {
                        *value += step;
                    }
                }
            }
            Self::LatticeBasis(combinations) => {
                new.cell = system.cell.as_ref().map(|cell| {
                    Rows::from_fn(cell.rows(), cell.columns(), |i, d| {
                        combinations[i].iter().zip(cell.iter()).map(|(&n, row)| f64::from(n) * row[d]).sum()
                    })
                });
            }
            Self::Supercell(repeats) => {
                let Some(cell) = &system.cell else { return new };
                new = system.select(&[]);
                for shift in images(cell, repeats) {
                    new = new.joined(&System { positions: system.positions.moved(&shift), ..system.clone() });
                }
                new.cell = Some(Rows::from_fn(cell.rows(), cell.columns(), |i, d| repeats[i] as f64 * cell.row(i)[d]));
            }
        }
        new
    }

    /// What the outputs of the transformed system should be.
    pub fn expected(&self, description: &Description, system: &System, outputs: &Outputs) -> Outputs {
        let dimensions = description.dimensions;
        let one = |kind: Kind, extensive: bool, values: &Vec<f64>| -> Vec<f64> {
            let width = if system.is_empty() { 0 } else { values.len() / system.len() };
            let moved = |shift: &dyn Fn(usize) -> Vec<f64>| -> Vec<f64> {
                let rows = values.chunks(dimensions).enumerate();
                rows.flat_map(|(node, row)| row.iter().zip(shift(node)).map(|(a, b)| a + b).collect::<Vec<_>>())
                    .collect()
            };
            match (self, kind) {
                (Self::Orthogonal(matrix), Kind::Vector | Kind::NodeVector | Kind::NodePoint) => {
                    map_blocks(&matrix.matrix(), values)
                }
                (Self::Orthogonal(matrix), Kind::Tensor) => {
                    let matrix = matrix.matrix();
                    let tensor = Rows::new(dimensions, values.clone()).matrix();
                    Rows::from_matrix(&(&matrix * tensor * matrix.transpose())).values().to_vec()
                }
                (Self::Translation(step), Kind::NodePoint) => moved(&|_| step.clone()),
                (Self::Wrapping(_), Kind::NodePoint) => moved(&|node| self.shift(system, node)),
                (Self::Permutation(order), kind) if kind.per_node() => {
                    order.iter().flat_map(|&node| &values[node * width..][..width]).copied().collect()
                }
                (Self::Supercell(repeats), Kind::NodePoint) => match &system.cell {
                    Some(cell) => {
                        images(cell, repeats).into_iter().flat_map(|shift| moved(&|_| shift.clone())).collect()
                    }
                    None => values.clone(),
                },
                (Self::Supercell(repeats), kind) if kind.per_node() => values.repeat(repeats.iter().product()),
                (Self::Supercell(repeats), _) if extensive => {
                    let copies = repeats.iter().product::<usize>() as f64;
                    values.iter().map(|value| copies * value).collect()
                }
                _ => values.clone(),
            }
        };
        description.outputs.iter().zip(outputs).map(|(output, v)| one(output.kind, output.extensive, v)).collect()
    }

    /// How far a wrapped node moves.
    fn shift(&self, system: &System, node: usize) -> Vec<f64> {
        let (Self::Wrapping(wraps), Some(cell)) = (self, &system.cell) else {
            return vec![0.0; system.dimensions()];
        };
        let along = |d: usize| wraps[node].iter().zip(cell.iter()).map(|(&n, row)| f64::from(n) * row[d]).sum();
        (0..system.dimensions()).map(along).collect()
    }

    /// What is left of it when only some nodes are kept.
    pub(crate) fn restricted(&self, kept: &[usize]) -> Self {
        match self {
            Self::Permutation(order) => {
                let place = |node: &usize| kept.iter().position(|kept| kept == node);
                Self::Permutation(order.iter().filter_map(place).collect())
            }
            Self::Wrapping(wraps) => Self::Wrapping(kept.iter().map(|&node| wraps[node].clone()).collect()),
            other => other.clone(),
        }
    }
}

/// Shifts of all copies of a cell in a supercell.
fn images(cell: &Rows, repeats: &[usize]) -> Vec<Vec<f64>> {
    let mut shifts = vec![vec![0.0; cell.columns()]];
    for (vector, &count) in cell.iter().zip(repeats) {
        let step = |shift: &Vec<f64>, k: usize| -> Vec<f64> {
            shift.iter().zip(vector).map(|(s, v)| s + k as f64 * v).collect()
        };
        shifts = shifts.iter().flat_map(|shift| (0..count).map(move |k| step(shift, k))).collect();
    }
    shifts
}

impl std::fmt::Display for Transformation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let vector = |values: &[f64]| {
            let numbers: Vec<String> = values.iter().map(|value| short(*value)).collect();
            format!("({})", numbers.join(", "))
        };
        match self {
            Self::Orthogonal(matrix) => {
                let rows: Vec<String> = matrix.iter().map(vector).collect();
                write!(f, "x -> Q x, Q = [{}]", rows.join(", "))
            }
            Self::Translation(step) => write!(f, "x -> x + {}", vector(step)),
            Self::Permutation(order) => write!(f, "nodes in the order {order:?}"),
            Self::Wrapping(wraps) => write!(f, "nodes moved by {wraps:?} lattice vectors"),
            Self::LatticeBasis(combinations) => write!(f, "lattice vectors combined as {combinations:?}"),
            Self::Supercell(repeats) => write!(f, "cell repeated {repeats:?} times"),
        }
    }
}

/// A number without digits that say nothing.
pub(crate) fn short(value: f64) -> String {
    let text = format!("{value:.6}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" { "0".into() } else { text.into() }
}
