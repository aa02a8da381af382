//! Benchmarks that a user can run: one training step on a synthetic graph, and neighbour lists.

mod neighbours;
mod recompute;
mod step;

pub use neighbours::{NeighbourRate, neighbour_rates};
pub use recompute::recompute_plot;
pub use step::{StepConfig, StepReport, bench_step};
