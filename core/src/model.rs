//! The EGNN of Satorras, Hoogeboom and Welling (2021, arXiv:2102.09844) with what atomistic data
//! asks of it: periodic edges, a radial basis, a smooth cutoff, energies that are sums over atoms,
//! and forces that are equivariant by construction.
//!
//! Layers hold their own parameters and call matmul and select themselves, because every operation
//! here must differentiate twice, which `burn::nn::Linear` and `Embedding` do not.

mod bytes;
mod config;
mod dense;
mod egnn;
mod layer;
mod parameters;
mod radial;
mod stage;

pub use bytes::{BatchShape, ModelBytes};
pub use config::{Basis, EgnnConfig, Envelope, ForceHead, MessageKind};
pub use dense::{Dense, Mlp};
pub use egnn::{Egnn, Head, Prediction};
pub use layer::{Attention, EdgeMlp, Edges, Gate, Layer, State};
pub use parameters::{Parameter, count, gradients, hollow, map, read, write};
pub use stage::{EgnnStage, Last, Predictor, StageGraph};
