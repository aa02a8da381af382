//! What Isograd trains and how: from a structure file to a trained, evaluated, resumable EGNN.
//!
//! Data flows one way: structure file -> [`isograd_structure::Structure`] -> [`isograd_structure::NeighbourList`] ->
//! [`graph::HostBatch`] -> [`graph::GraphBatch`] -> [`model::Egnn`] -> [`loss`] -> [`train`] ->
//! [`run`] (snapshots, metrics, report). Everything that computes is generic over
//! `B: burn::tensor::backend::Backend`; no backend is named in this crate.
//!
//! # Symbols
//! The same letters stand for the same sizes in every comment:
//!
//! | symbol | meaning |
//! |---|---|
//! | B | graphs (structures) in a batch |
//! | N | atoms (nodes) |
//! | E | directed edges |
//! | F | width |
//! | K | edge features |
//! | D | space dimensions (3 here) |
//! | L | layers |
//!
//! # Conventions
//! Energies are in eV, lengths in angstrom, forces in eV/angstrom, stress in eV/angstrom^3 with
//! tension positive. The rows of a cell are its lattice vectors. An edge `(i <- j)` has receiver
//! `i` and sender `j`; its vector is `r_ij = x_j + shift_ij - x_i`; edges are sorted by receiver.
//!
//! # Example
//! ```
//! use isograd_structure::{Structure, neighbour_list};
//! use isograd_data::Source;
//!
//! # fn main() -> Result<(), isograd_core::Error> {
//! let text = "2\nenergy=-1.5 pbc=\"F F F\"\nH 0 0 0\nH 0 0 0.74\n";
//! let frames: Vec<Structure> = Source::default().read(text.as_bytes(), "h2.xyz").collect::<Result<_, _>>()?;
//! assert_eq!(frames[0].energy, Some(-1.5));
//! let edges = neighbour_list(&frames[0].geometry, 5.0)?;
//! assert_eq!(edges.len(), 2);
//! # Ok(())
//! # }
//! ```
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod bench;
pub mod config;
pub mod engine;
mod error;
pub mod graph;
pub mod loss;
pub mod model;
pub mod run;
pub mod shard;
pub mod train;

pub use error::{Error, Result};
