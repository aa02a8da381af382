//! Graphs: neighbour lists, batches of structures, and the order in which they are trained on.

mod batch;
mod brute_force;
mod loader;
mod neighbours;
mod sampler;

pub(crate) use batch::floats;
pub use batch::{GraphBatch, HeadRange, HostBatch, HostGraph, LabelCounts};
pub use brute_force::brute_force;
pub use loader::{BATCHES_OF_WORKER, Loader, MakeBatch};
pub use neighbours::{NeighbourList, neighbour_list, shortest_distance};
pub use sampler::{Budget, Sizes, cut, epoch_order, pack, share};
