//! What a program with operations, blocks or networks of its own needs.

use std::sync::Arc;
use std::time::Duration;

pub use isograd_comm::{Communicator, Failure, Solo, Staged, spawn};
pub use isograd_engine::zero::{Sharded, Train, Zero};
pub use isograd_engine::{
    Block, BlockWeights, Blocks, Collect, Declare, Flow, Init, Layout, ModuleBlock, Optimizer, OptimizerConfig,
    OptimizerKind, Recompute, Slot, Walk, block, clip_scale, squares, value_and_grad,
};
pub use isograd_models::{
    Architecture, Graph, GraphBlocks, GraphNeeds, Inputs, Invalid, NODES, NodeVectors, Registry, VECTORS, nn,
};
pub use isograd_ops::device::CpuBackend;
pub use isograd_ops::index::{Grouping, HostGrouping};
pub use isograd_ops::kernels::KernelBackend;
pub use isograd_ops::message::MessageBackend;
pub use isograd_ops::value::Value;

use burn::backend::Autodiff;

/// The CPU with autodiff, on which blocks are trained.
pub type Tracked = Autodiff<CpuBackend>;

/// Does the same work on several ranks, threads of this process that compute on the CPU, and returns what each has found. A
/// rank waits half an hour for another.
///
/// # Errors
/// That of the first rank that has one.
pub fn on_threads<T: Send>(
    ranks: usize,
    work: impl Fn(Arc<dyn Communicator<CpuBackend>>) -> isograd_engine::Result<T> + Sync,
) -> isograd_engine::Result<Vec<T>> {
    let found = spawn(ranks, Duration::from_secs(1800), |thread| {
        let comm = Arc::new(Staged::<CpuBackend>::start(move || Ok(thread))?);
        // Or else the others would wait for it.
        work(comm.clone()).inspect_err(|error| comm.fail(Failure { message: error.to_string(), input: false }))
    });
    found.into_iter().collect()
}
