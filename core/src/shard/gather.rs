//! Weights that are gathered while a stage runs.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use isograd_backends::comm::{Communicator, Pending};
use isograd_backends::message::MessageBackend;

use super::Layout;
use crate::engine::Stages;
use crate::model::{self, EgnnStage};
use crate::{Error, Result};

/// The stages of a model of which every rank has a piece on backend `B`, to be run on `A`: the same, or that with
/// autodiff. The next stage's weights are on their way while one runs.
pub(super) struct Gathering<'a, B: Backend, A: Backend> {
    comm: &'a dyn Communicator<B>,
    layout: &'a Layout,
    pieces: &'a [Tensor<B, 1>],
    /// Stages whose parameters take no memory.
    hollow: Vec<EgnnStage<A>>,
    /// From one backend to the other.
    lift: fn(Tensor<B, 1>) -> Tensor<A, 1>,
    ahead: Mutex<Ahead<B>>,
}

/// What will be asked for.
struct Ahead<B: Backend> {
    order: VecDeque<usize>,
    /// Weights of the first in the order.
    next: Option<Pending<Vec<Tensor<B, 1>>>>,
}

impl<'a, B: Backend, A: Backend> Gathering<'a, B, A> {
    pub(super) fn new(
        comm: &'a dyn Communicator<B>,
        layout: &'a Layout,
        pieces: &'a [Tensor<B, 1>],
        hollow: Vec<EgnnStage<A>>,
        lift: fn(Tensor<B, 1>) -> Tensor<A, 1>,
    ) -> Self {
        let ahead = Mutex::new(Ahead { order: VecDeque::new(), next: None });
        Self { comm, layout, pieces, hollow, lift, ahead }
    }

    fn gather(&self, index: usize) -> Pending<Vec<Tensor<B, 1>>> {
        self.comm.all_gather(self.pieces[index].clone(), self.layout.sizes(index))
    }
}

impl<B: Backend, A: MessageBackend> Stages<A> for Gathering<'_, B, A> {
    type Stage = EgnnStage<A>;

    fn count(&self) -> usize {
        self.hollow.len()
    }

    fn begin(&self, order: Vec<usize>) {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        ahead.order = order.into();
        ahead.next = ahead.order.front().map(|&first| self.gather(first));
    }

    fn stage(&self, index: usize) -> Result<EgnnStage<A>> {
        let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
        let due = ahead.order.pop_front();
        let (Some(due), Some(weights)) = (due, ahead.next.take()) else {
            return Err(Error::Internal(format!("stage {index} was asked for after the last")));
        };
        assert_eq!(due, index, "Gathering: stages are asked for in another order than was said");
        let weights = weights.wait()?;
        ahead.next = ahead.order.front().map(|&next| self.gather(next));
        let weights: Vec<_> = weights.into_iter().map(self.lift).collect();
        Ok(model::write(self.hollow[index].clone(), &weights))
    }
}
