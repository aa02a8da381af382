//! Graph networks as lists of blocks, a folder or file each: hyper-parameters ([`Architecture`]) that become
//! [`Block`](isograd_engine::Block)s over a [`Graph`].
//!
//! [`nn`] has the pieces that they are made of, [`Registry`] knows them by `kind`. To add one, write its file and add its
//! line to [`Registry::default`]; a program of your own adds it with [`Registry::with`].
//!
//! | symbol | meaning |
//! |---|---|
//! | B | graphs in a batch |
//! | N | nodes |
//! | E | directed edges, `(i <- j)` with receiver i and sender j, sorted by receiver |
//! | F | width |
//! | K | edge features |
//! | D | dimensions of space |
//! | L | layers |
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod architecture;
mod egnn;
mod gat;
mod gcn;
mod graph;
mod moments;
pub mod nn;
mod painn;
mod registry;
mod schnet;
mod study;
mod tensors;

pub use architecture::{
    AnyArchitecture, Architecture, GraphBackend, GraphBlocks, GraphNeeds, Inputs, Invalid, ModelBackend, NodeVectors,
    Promises,
};
pub use egnn::Egnn;
pub use gat::Gat;
pub use gcn::Gcn;
pub use graph::{Graph, GraphSizes};
pub use moments::Moments;
pub use painn::PaiNN;
pub use registry::Registry;
pub use schnet::SchNet;
pub use study::Study;
pub use tensors::floats;

/// The flow entry of node features, `[N, width]`.
pub const NODES: &str = "nodes";

/// The flow entry of features of whole graphs, `[B, width]`, of the architectures that pool nodes themselves.
pub const GRAPHS: &str = "graphs";

/// The flow entry of a vector per node, `[N, D]`.
pub const VECTORS: &str = "vectors";
