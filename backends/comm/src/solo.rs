//! One rank, alone.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use super::{Communicator, Failure, Message, Pending, Usage};

/// The only rank.
#[derive(Debug, Clone, Copy, Default)]
pub struct Solo;

/// Tensors of these sizes, one after the other; what is left over is dropped.
pub(super) fn cut<B: Backend>(all: &Tensor<B, 1>, sizes: Vec<usize>) -> Vec<Tensor<B, 1>> {
    let mut start = 0;
    let mut next = |size: usize| {
        start += size;
        all.clone().narrow(0, start - size, size)
    };
    sizes.into_iter().map(&mut next).collect()
}

impl<B: Backend> Communicator<B> for Solo {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_reduce(&self, bucket: Vec<Tensor<B, 1>>) -> Pending<Vec<Tensor<B, 1>>> {
        Pending::ready(Ok(bucket))
    }

    fn reduce_scatter(&self, bucket: Vec<Tensor<B, 1>>) -> Pending<Tensor<B, 1>> {
        Pending::ready(Ok(Tensor::cat(bucket, 0)))
    }

    fn all_gather(&self, piece: Tensor<B, 1>, sizes: Vec<usize>) -> Pending<Vec<Tensor<B, 1>>> {
        Pending::ready(Ok(cut(&piece, sizes)))
    }

    fn broadcast(&self, bucket: Vec<Tensor<B, 1>>, _root: usize) -> Pending<Vec<Tensor<B, 1>>> {
        Pending::ready(Ok(bucket))
    }

    fn exchange_bytes(&self, to: Vec<Message>) -> Pending<Vec<Message>> {
        assert_eq!(to.len(), 1, "exchange: messages");
        Pending::ready(Ok(to))
    }

    fn fail(&self, _failure: Failure) {}

    fn usage(&self) -> Usage {
        Usage::default()
    }
}
