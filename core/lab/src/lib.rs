//! Benchmarks that a user can run: one training step on a synthetic graph, on one rank and on several,
//! neighbour lists, and packed stores.

#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod neighbours;
mod network;
mod recompute;
mod scaling;
mod step;
mod store;

pub use neighbours::{NeighbourRate, neighbour_rates};
pub use network::{Cluster, Predicted, StepModel};
pub use recompute::recompute_plot;
pub use scaling::{RankStep, Traffic, bench_rank, bench_traffic};
pub use step::{STUDY_KIND, StepConfig, StepReport, bench_step};
pub use store::{StoreConfig, StoreReport, bench_store};
