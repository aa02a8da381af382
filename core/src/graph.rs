//! Graphs: batches of structures, on the host and on a device.

mod batch;

pub(crate) use batch::floats;
pub use batch::{GraphBatch, HeadRange, HostBatch, HostGraph, LabelCounts};
