//! Graphs: neighbour lists, batches of structures, and the order in which they are trained on.

mod batch;
mod loader;
mod neighbours;
mod sampler;

pub(crate) use batch::floats;
pub use batch::{GraphBatch, HeadRange, HostBatch, HostGraph, LabelCounts};
pub use loader::{Loader, MakeGraph};
pub use neighbours::{NeighbourList, brute_force, neighbour_list, shortest_distance};
pub use sampler::{Budget, Sizes, epoch_order, pack};
