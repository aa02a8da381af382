//! The weights of a model in training, to predict with or to write down.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use isograd_comm::Communicator;

use super::gather::Gathering;
use crate::{Layout, Result, WeightSource};

/// The latest or the averaged weights of a model in training. Where ranks own pieces of them, those of a block are
/// gathered when they are needed, and all ranks must ask for the same.
pub struct View<'a, B: Backend> {
    pub(super) comm: &'a dyn Communicator<B>,
    pub(super) layout: &'a Layout,
    /// All parameters, or this rank's piece of each block.
    pub(super) values: &'a [Tensor<B, 1>],
    pub(super) is_cut: bool,
}

// A derive would ask the same of the backend.
impl<B: Backend> Clone for View<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: Backend> Copy for View<'_, B> {}

impl<'a, B: Backend> View<'a, B> {
    /// Which rank owns what.
    pub fn layout(&self) -> &'a Layout {
        self.layout
    }

    /// Whether this is rank 0.
    pub fn is_first(&self) -> bool {
        self.comm.rank() == 0
    }

    /// Whether weights are gathered, in which all ranks take part.
    pub fn is_cut(&self) -> bool {
        self.is_cut
    }

    /// The parameters of a block, flat, in the order of their declaration.
    ///
    /// # Errors
    /// [`crate::Error::Ranks`].
    pub fn block(&self, block: usize) -> Result<Vec<Tensor<B, 1>>> {
        if self.is_cut {
            return Ok(self.comm.all_gather(self.values[block].clone(), self.layout.sizes(block)).wait()?);
        }
        self.layout.view(self.values).weights(block)
    }

    /// The weights, for a walk.
    pub fn source(self) -> Box<dyn WeightSource<B> + Sync + 'a> {
        if self.is_cut {
            Box::new(Gathering::new(self.comm, self.layout, self.values))
        } else {
            Box::new(self.layout.view(self.values))
        }
    }
}
