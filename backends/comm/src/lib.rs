//! Ranks that compute together: who there is, sums over them, and what each gathers from all.
//!
//! A collective is called by every rank in the same order, with tensors of the same sizes. It is started
//! at once and waited for when its result is needed ([`Pending`]), so that ranks compute while they
//! communicate. Sums are made in the order of the ranks: they are the same to the bit on all of them, and
//! each time. A rank that is lost, silent for too long, or fails is an error on all others; nobody waits for
//! ever.
//!
//! [`Solo`] is one rank alone. [`Staged`] takes tensors of any backend through host memory, over a
//! [`Transport`]: [`Threads`] of one process, processes joined by [`Tcp`], or processes under MPI (feature
//! `mpi`). Ranks with an NVIDIA GPU each exchange tensors from device to device (feature `nccl`), in the order
//! that NVIDIA's library adds them in. Which ranks there are, launchers or flags say ([`World`]). Ranks joined by TCP know
//! each other by a secret ([`JobKey`]).
//!
//! ```
//! use std::time::Duration;
//!
//! use burn::tensor::Tensor;
//! use burn_flex::Flex;
//! use isograd_comm::{Communicator, Staged, spawn};
//!
//! let sums = spawn(3, Duration::from_secs(10), |rank| {
//!     let comm = Staged::<Flex>::start(move || Ok(rank)).unwrap();
//!     let own = Tensor::<Flex, 1>::from_floats([1.0, comm.rank() as f32], &Default::default());
//!     let sum = comm.all_reduce(vec![own]).wait().unwrap();
//!     sum[0].to_data().to_vec::<f32>().unwrap()
//! });
//! assert_eq!(sums, vec![vec![3.0, 3.0]; 3]);
//! ```
#![cfg_attr(not(test), warn(clippy::unwrap_used))]

mod collectives;
mod failure;
mod key;
#[cfg(feature = "mpi")]
mod mpi;
#[cfg(feature = "nccl")]
mod nccl;
mod pending;
mod solo;
mod staged;
mod tcp;
mod threads;
mod world;

use std::sync::Arc;
use std::time::Duration;

use burn::backend::Autodiff;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

pub use failure::{CommError, Failure};
pub use key::JobKey;
#[cfg(feature = "mpi")]
pub use mpi::Mpi;
pub use pending::{Pending, Usage};
pub use solo::Solo;
pub use staged::Staged;
pub use tcp::Tcp;
pub use threads::{Threads, spawn};
pub use world::{Launcher, World, WorldFlags};

/// Bytes that one rank sends to another.
pub type Message = Arc<Vec<u8>>;

/// Carries bytes between ranks.
pub trait Transport {
    /// This rank, from 0.
    fn rank(&self) -> usize;

    /// Number of ranks, R.
    fn size(&self) -> usize;

    /// Sends a message to each rank, this one included, and returns what each has sent to this one, both by
    /// rank.
    ///
    /// # Errors
    /// [`CommError`] if a rank is lost, stays silent or has failed.
    fn exchange(&mut self, to: Vec<Message>) -> Result<Vec<Message>, CommError>;

    /// Whether all ranks are still there, as far as this one can see without asking them.
    ///
    /// # Errors
    /// [`CommError`] if a rank is lost or has failed.
    fn check(&mut self) -> Result<(), CommError>;

    /// Tells the other ranks that this one cannot go on; their next exchange is an error.
    fn fail(&mut self, failure: &Failure);
}

/// A backend whose ranks may have a faster way to each other than through host memory.
pub trait RankBackend: Backend {
    /// The fastest way between ranks that are joined already, with a device each; they wait at most `timeout` for
    /// one another.
    ///
    /// # Errors
    /// [`CommError`] if ranks do not come to one.
    fn join(
        staged: Staged<Self>,
        _device: &Self::Device,
        _timeout: Duration,
    ) -> Result<Arc<dyn Communicator<Self>>, CommError> {
        Ok(Arc::new(staged))
    }
}

impl RankBackend for burn_flex::Flex {}

#[cfg(feature = "wgpu")]
impl RankBackend for burn_wgpu::Wgpu {}

#[cfg(feature = "cuda")]
impl RankBackend for burn_cuda::Cuda {
    #[cfg(feature = "nccl")]
    fn join(
        staged: Staged<Self>,
        device: &Self::Device,
        timeout: Duration,
    ) -> Result<Arc<dyn Communicator<Self>>, CommError> {
        nccl::join(staged, device, timeout)
    }
}

impl<B: RankBackend> RankBackend for Autodiff<B> {}

/// One rank among others, and its collectives on tensors of a backend.
pub trait Communicator<B: Backend>: Send + Sync {
    /// This rank, from 0.
    fn rank(&self) -> usize;

    /// Number of ranks, R.
    fn size(&self) -> usize;

    /// The sums over all ranks of a bucket of tensors that travel together.
    fn all_reduce(&self, bucket: Vec<Tensor<B, 1>>) -> Pending<Vec<Tensor<B, 1>>>;

    /// This rank's piece of the sum over all ranks of a bucket, whose tensors follow one another: of R pieces
    /// of equal length, the last ones filled up with zeros, the one of its number.
    fn reduce_scatter(&self, bucket: Vec<Tensor<B, 1>>) -> Pending<Tensor<B, 1>>;

    /// The pieces of all ranks, which are of equal length, one after the other, cut into tensors of these
    /// sizes. What is left over is dropped.
    ///
    /// # Panics
    /// If the pieces together are shorter than the sizes.
    fn all_gather(&self, piece: Tensor<B, 1>, sizes: Vec<usize>) -> Pending<Vec<Tensor<B, 1>>>;

    /// The bucket of rank `root`.
    fn broadcast(&self, bucket: Vec<Tensor<B, 1>>, root: usize) -> Pending<Vec<Tensor<B, 1>>>;

    /// What each rank has sent to this one, where `to` is what this one sends to each, both by rank.
    ///
    /// # Panics
    /// If there are not as many messages as ranks.
    fn exchange_bytes(&self, to: Vec<Message>) -> Pending<Vec<Message>>;

    /// The bytes of all ranks, by rank, which may differ in length.
    ///
    /// # Errors
    /// [`CommError`].
    fn gather_bytes(&self, own: Vec<u8>) -> Result<Vec<Message>, CommError> {
        let message = Arc::new(own);
        self.exchange_bytes(vec![message; self.size()]).wait()
    }

    /// Returns once every rank has called it.
    ///
    /// # Errors
    /// [`CommError`].
    fn barrier(&self) -> Result<(), CommError> {
        self.gather_bytes(Vec::new()).map(|_| ())
    }

    /// Tells the other ranks that this one cannot go on.
    fn fail(&self, failure: Failure);

    /// What communication has taken so far.
    fn usage(&self) -> Usage;
}
