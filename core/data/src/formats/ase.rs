//! Files of ASE, the Atomic Simulation Environment: databases in SQLite, trajectories, and rows of databases as text.
//!
//! All of them hold the same, in ASE's units (eV, angstrom, eV/angstrom, eV/angstrom^3 with tension positive): atoms,
//! what a calculator said of them, and notes, which are `key_value_pairs` and `data` of a row, or `info` of a
//! trajectory's step.
//!
//! | frame | what ASE has |
//! |---|---|
//! | columns `numbers`, `pos`, `tags`, `initial_magmoms`, `initial_charges` | atoms |
//! | column `move_mask`, true where an atom is free | constraints `FixAtoms` |
//! | key `other_constraints` | the names of all other constraints, which nothing else says |
//! | keys `Lattice` and `pbc` | the cell, if any of its vectors is not zero |
//! | keys `energy`, `free_energy`, `stress` (9 numbers), `dipole`, `magmom` | results of the calculator |
//! | columns `forces`, `magmoms`, `charges` | results of the calculator |
//! | keys `calculator`, `unique_id`, `id` | the calculator's name; which row of a database it is |
//! | any other key | a note; where it has a row of numbers for each atom, a column too |
//!
//! Traps. `magmoms` and `charges` of a trajectory's step are initial ones, those of its calculator are results. A note
//! whose name is taken has `data.`, `key_value_pairs.` or `info.` before it: an `energy` in `data` is the label only
//! where no calculator left one. What is null or NaN throughout is not there. Momenta, masses and parameters of
//! calculators are left out. Forces are as the calculator gave them, also on atoms that are fixed.

mod array;
mod atoms;
mod constraints;
mod database;
mod json;
pub(in crate::formats) mod row;
mod trajectory;
mod ulm;
mod units;

pub use database::{Database, DatabaseReader};
pub use trajectory::{Trajectory, TrajectoryReader};

/// A frame of a row of a database as JSON, as databases in LMDB have it.
///
/// # Errors
/// A sentence about what is no JSON, or no row.
pub fn read_row(text: &[u8]) -> Result<super::Frame, String> {
    row::frame(&row::parse(text)?)
}
