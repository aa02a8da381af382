//! Atomistic structures: elements, cells, labels and the units they come in, and the neighbour list.
//!
//! Energies are in eV, lengths in angstrom, forces in eV/angstrom, stress in eV/angstrom^3 with
//! tension positive. The rows of a cell are its lattice vectors. An edge `(i <- j)` has receiver
//! `i` and sender `j`; its vector is `r_ij = x_j + shift_ij - x_i`; edges are sorted by receiver.
//!
//! # Example
//! ```
//! use isograd_structure::{Geometry, neighbour_list};
//!
//! # fn main() -> Result<(), isograd_structure::Error> {
//! let geometry = Geometry { positions: vec![[0.0; 3], [0.0, 0.0, 0.74]], ..Default::default() };
//! let edges = neighbour_list(&geometry, 5.0)?;
//! assert_eq!(edges.senders, [1, 0]);
//! assert_eq!(edges.vectors[0], [0.0, 0.0, 0.74]);
//! # Ok(())
//! # }
//! ```
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod cell;
mod element;
mod error;
mod neighbours;
mod rigid;
mod structure;
mod units;
mod verlet;

pub use cell::{Cell, Geometry};
pub use element::Element;
pub use error::{Error, Result};
pub use neighbours::{NeighbourList, Pairs, neighbour_list, pairs};
pub use rigid::without_net_force;
pub use structure::Structure;
pub use units::{EnergyUnit, ForceUnit, LengthUnit, StressSign, StressUnit, Units};
pub use verlet::VerletList;
