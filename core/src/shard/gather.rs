//! Weights that are gathered while a stage runs.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use isograd_backends::comm::{Communicator, Pending};
use isograd_backends::message::MessageBackend;

use super::Layout;
use crate::engine::Stages;
use crate::model::{self, EgnnStage};
use crate::{Error, Result};

/// The stages of a model of which every rank has a piece. The next stage's weights are on their way while one
/// runs.
pub(super) struct Gathering<'a, A: AutodiffBackend> {
    comm: &'a dyn Communicator<A::InnerBackend>,
    layout: &'a Layout,
    pieces: &'a [Tensor<A::InnerBackend, 1>],
    /// Stages whose parameters take no memory.
    hollow: Vec<EgnnStage<A>>,
    ahead: Mutex<Ahead<A::InnerBackend>>,
}

/// What will be asked for.
struct Ahead<B: Backend> {
    order: VecDeque<usize>,
    /// Weights of the first in the order.
    next: Option<Pending<Vec<Tensor<B, 1>>>>,
}

impl<'a, A: AutodiffBackend + MessageBackend> Gathering<'a, A> {
    pub(super) fn new(
        comm: &'a dyn Communicator<A::InnerBackend>,
        layout: &'a Layout,
        pieces: &'a [Tensor<A::InnerBackend, 1>],
        hollow: Vec<EgnnStage<A>>,
    ) -> Self {
        let ahead = Mutex::new(Ahead { order: VecDeque::new(), next: None });
        Self { comm, layout, pieces, hollow, ahead }
    }

    fn gather(&self, index: usize) -> Pending<Vec<Tensor<A::InnerBackend, 1>>> {
        self.comm.all_gather(self.pieces[index].clone(), self.layout.sizes(index))
    }
}

impl<A: AutodiffBackend + MessageBackend> Stages<A> for Gathering<'_, A> {
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
        let weights: Vec<_> = weights.into_iter().map(Tensor::from_inner).collect();
        Ok(model::write(self.hollow[index].clone(), &weights))
    }
}
