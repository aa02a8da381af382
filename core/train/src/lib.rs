//! Training: from a config file and structure files to a trained, evaluated, resumable potential.
//!
//! Data flow one way: [`prepare`] reads, audits and splits structures; a session walks epochs of batches through a
//! model ([`isograd_tasks::Model`]) and its weights ([`isograd_engine::zero::Sharded`]); [`run`] writes down where it is
//! and what came of it. Everything that computes is generic over a [`Backend`]; [`dispatch`] picks one by name.
//!
//! # Conventions
//! Energies are in eV, lengths in angstrom, forces in eV/angstrom, stress in eV/angstrom^3 with
//! tension positive. The rows of a cell are its lattice vectors. An edge `(i <- j)` has receiver
//! `i` and sender `j`; its vector is `r_ij = x_j + shift_ij - x_i`; edges are sorted by receiver.
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

pub mod agree;
mod backend;
mod check;
mod committee;
pub mod config;
mod context;
mod data;
mod dataset;
mod draft;
mod error;
mod evaluate;
mod events;
mod feed;
mod fine_tuning;
mod finish;
mod job;
mod plan;
mod rank;
pub mod run;
mod schedule;
mod session;
mod sketch;
mod step;
mod tensor_file;
mod threads;
mod window;

pub use backend::{Backend, RunOn, dispatch};
pub use check::{CASES_AFTER_TRAINING, Checked, WithTwin, check_model};
pub use committee::FinishedCommittee;
pub use context::RankContext;
pub use data::{
    Prepared, ReferenceReport, SourceReport, model_of, prepare, prepare_graphs, prepare_structures, survey,
    unused_stresses,
};
pub use dataset::{Batch, Dataset, Part, Sample, SampleLabels, Samples};
pub use draft::{Draft, DraftOptions, draft, name_of};
pub use error::{Error, Result};
pub use evaluate::{Pass, Predicted, Predictor, Tallies, baseline, evaluate, evaluate_groups, predict};
pub use events::{Event, Observer, Progress};
pub use feed::Holding;
pub use fine_tuning::{StartReport, StartingWeights};
pub use finish::{Details, Finished};
pub use plan::{MemoryPlan, MemoryWorkload};
pub use rank::{Outcome, train, train_on, train_rank};
pub use schedule::{Plateau, Schedule, ScheduleConfig};
pub use step::{LossGradient, Place, Step};
pub use threads::train_threads;
