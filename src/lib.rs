//! Isograd trains E(n)-equivariant graph neural networks on atomistic data: the same model on a
//! laptop's CPU, on any GPU through wgpu, and on NVIDIA GPUs through CUDA.
//!
//! This crate is a facade over small ones, each of which can be used alone; the `isograd` command is built on it.

pub use isograd_backends as backends;
pub use isograd_data as data;
pub use isograd_engine as engine;
pub use isograd_equivariance as equivariance;
pub use isograd_lab as lab;
pub use isograd_models as models;
pub use isograd_report as report;
pub use isograd_structure as structure;
pub use isograd_tasks as tasks;
pub use isograd_train as train;
