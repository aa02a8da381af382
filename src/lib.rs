//! Isograd trains E(n)-equivariant graph neural networks on atomistic data: the same model on a
//! laptop's CPU, on any GPU through wgpu, and on NVIDIA GPUs through CUDA.
//!
//! ```no_run
//! use isograd::prelude::*;
//!
//! # fn main() -> isograd::Result<()> {
//! let data = Data::open("mine.extxyz")?.split(Split::by_formula(0.1))?;
//! let model = Egnn { width: 64, layers: 3, cutoff: 5.0, ..Egnn::default() };
//! let fitted = Trainer::new(model, PotentialTask::default()).epochs(50).device("wgpu".parse()?).fit(&data)?;
//! println!("{}", fitted.best().validation);
//!
//! let answer = &fitted.potential().predict(&data.validation()[..1])?[0];
//! println!("{} eV, {:?} eV/angstrom", answer.energy, answer.forces);
//! # Ok(())
//! # }
//! ```
//!
//! This crate is a facade over small ones, each of which can be used alone; the `isograd` command is built on it.

pub use isograd_comm as comm;
pub use isograd_data as data;
pub use isograd_engine as engine;
pub use isograd_equivariance as equivariance;
pub use isograd_lab as lab;
pub use isograd_models as models;
pub use isograd_ops as ops;
pub use isograd_report as report;
pub use isograd_structure as structure;
pub use isograd_tasks as tasks;
pub use isograd_train as train;

mod committee;
mod model;
pub mod network;
mod potential;
mod structures;
mod trainer;
mod vibrations;

pub use committee::{Committee, CommitteeValues};
pub use model::{Model, Values};
pub use potential::{Calculator, Potential, Prediction};
pub use structures::{Data, Graphs, Split, SplitData};
pub use train::{Error, Result};
pub use trainer::{Fitted, Trainer};
pub use vibrations::{Mode, Vibrations};

/// What a program that trains and predicts needs.
pub mod prelude {
    pub use crate::models::{Architecture, Egnn, Gat, Gcn, PaiNN, Registry, SchNet, Study};
    pub use crate::ops::device::DeviceName;
    pub use crate::structure::{Cell, Element, Geometry, Structure};
    pub use crate::tasks::{Classes, LossConfig, LossKind, PotentialTask, Property, Task, TaskConfig};
    pub use crate::train::Event;
    pub use crate::{
        Calculator, Committee, Data, Fitted, Graphs, Model, Potential, Prediction, Split, SplitData, Trainer, Values,
    };
}
