//! Graphs: batches of structures, and the order in which they are trained on.

mod batch;
mod loader;
mod sampler;

pub(crate) use batch::floats;
pub use batch::{GraphBatch, HeadRange, HostBatch, HostGraph, LabelCounts};
pub use loader::{BATCHES_OF_WORKER, Loader, MakeBatch};
pub use sampler::{Budget, Sizes, cut, epoch_order, pack, share};
