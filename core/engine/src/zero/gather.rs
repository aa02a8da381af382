//! Weights that are gathered while a block runs.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use isograd_comm::{Communicator, Pending};

use crate::{Error, Layout, Result, Spec, WeightSource};

/// Weights of which every rank has a piece of each block. The next block's are gathered while one runs.
pub(super) struct Gathering<'a, B: Backend> {
    comm: &'a dyn Communicator<B>,
    layout: &'a Layout,
    pieces: &'a [Tensor<B, 1>],
    ahead: Mutex<Ahead<B>>,
}

/// What will be asked for.
struct Ahead<B: Backend> {
    order: VecDeque<usize>,
    /// Weights of the first in the order.
    next: Option<Pending<Vec<Tensor<B, 1>>>>,
}

impl<'a, B: Backend> Gathering<'a, B> {
    pub(super) fn new(comm: &'a dyn Communicator<B>, layout: &'a Layout, pieces: &'a [Tensor<B, 1>]) -> Self {
        let ahead = Mutex::new(Ahead { order: VecDeque::new(), next: None });
        Self { comm, layout, pieces, ahead }
    }

    fn gather(&self, index: usize) -> Pending<Vec<Tensor<B, 1>>> {
        self.comm.all_gather(self.pieces[index].clone(), self.layout.sizes(index))
    }
}

impl<B: Backend> WeightSource<B> for Gathering<'_, B> {
    fn begin(&self, order: Vec<usize>) {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        ahead.order = order.into();
        ahead.next = ahead.order.front().map(|&first| self.gather(first));
    }

    fn weights(&self, index: usize) -> Result<Vec<Tensor<B, 1>>> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let due = ahead.order.pop_front();
        let (Some(due), Some(weights)) = (due, ahead.next.take()) else {
            return Err(Error::Internal(format!("block {index} was asked for after the last")));
        };
        assert_eq!(due, index, "Gathering: blocks are asked for in another order than was said");
        let weights = weights.wait()?;
        ahead.next = ahead.order.front().map(|&next| self.gather(next));
        Ok(weights)
    }

    fn parameters(&self, block: usize) -> &[Spec] {
        self.layout.parameters_of(block)
    }
}
