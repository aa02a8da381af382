//! Gradients on their way to the ranks that need them.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use isograd_comm::{Communicator, Pending};

use super::Zero;
use crate::{Layout, Result, Sink, Spec, add};

/// What is known of the gradients of a block.
enum Held<B: Backend> {
    /// This rank's own, summed over walks; or, when they have come back, the sums over all ranks.
    All(Vec<Tensor<B, 1>>),
    /// This rank's piece of the sums over all ranks.
    Piece(Tensor<B, 1>),
}

/// Gradients of a block that are on their way.
enum Leaving<B: Backend> {
    All(Pending<Vec<Tensor<B, 1>>>),
    Piece(Pending<Tensor<B, 1>>),
}

/// Takes gradients block by block, while the walk back goes on, and sums them over the ranks, those of frozen parameters as zeros: all of them
/// ([`Zero::Off`]), or this rank's piece, after the last walk ([`Zero::States`]) or after each. At most one block's
/// gradients are in flight, which bounds the extra memory to one block.
pub(super) struct Reducer<'a, B: Backend> {
    comm: &'a dyn Communicator<B>,
    layout: &'a Layout,
    zero: Zero,
    device: &'a B::Device,
    /// Walks that each block still expects.
    left: Vec<usize>,
    blocks: Vec<Option<Held<B>>>,
    leaving: Option<(usize, Leaving<B>)>,
    failed: Result<()>,
}

impl<'a, B: Backend> Reducer<'a, B> {
    pub(super) fn new(
        comm: &'a dyn Communicator<B>,
        layout: &'a Layout,
        zero: Zero,
        walks: usize,
        device: &'a B::Device,
    ) -> Self {
        let count = layout.blocks();
        let blocks = (0..count).map(|_| None).collect();
        Self { comm, layout, zero, device, left: vec![walks; count], blocks, leaving: None, failed: Ok(()) }
    }

    /// The gradients: of all parameters, or a piece for each block.
    pub(super) fn finish(mut self) -> Result<Vec<Tensor<B, 1>>> {
        self.settle();
        self.failed?;
        let mut all = Vec::new();
        for (index, held) in self.blocks.into_iter().enumerate() {
            match held {
                Some(Held::All(gradients)) => all.extend(gradients),
                Some(Held::Piece(piece)) => all.push(piece),
                None => panic!("Reducer: block {index} has no gradients"),
            }
        }
        Ok(all)
    }

    /// Waits for what is on its way, and adds it to what earlier walks have left.
    fn settle(&mut self) {
        let Some((index, leaving)) = self.leaving.take() else { return };
        let arrived = match leaving {
            Leaving::All(pending) => pending.wait().map(Held::All),
            Leaving::Piece(pending) => pending.wait().map(Held::Piece),
        };
        match arrived {
            Ok(Held::Piece(piece)) => {
                let sum = match self.blocks[index].take() {
                    Some(Held::Piece(earlier)) => earlier + piece,
                    _ => piece,
                };
                self.blocks[index] = Some(Held::Piece(sum));
            }
            Ok(all) => self.blocks[index] = Some(all),
            Err(error) => self.failed = Err(error.into()),
        }
    }
}

impl<B: Backend> Sink<B> for Reducer<'_, B> {
    fn block(&mut self, index: usize, gradients: Vec<Tensor<B, 1>>) {
        self.left[index] -= 1;
        let trained =
            |(gradient, spec): (Tensor<B, 1>, &Spec)| if spec.frozen { gradient.zeros_like() } else { gradient };
        let gradients = gradients.into_iter().zip(self.layout.parameters_of(index)).map(trained).collect();
        let last = self.left[index] == 0;
        let gradients = match self.blocks[index].take() {
            Some(Held::All(earlier)) => add(Some(earlier), gradients),
            held => {
                self.blocks[index] = held;
                gradients
            }
        };
        let leaves = self.comm.size() > 1 && (last || self.zero.shards_gradients());
        if !leaves {
            self.blocks[index] = Some(Held::All(gradients));
            return;
        }
        self.settle();
        let leaving = if self.zero.shards_states() {
            Leaving::Piece(self.comm.reduce_scatter(gradients))
        } else {
            Leaving::All(self.comm.all_reduce(gradients))
        };
        self.leaving = Some((index, leaving));
    }

    fn idle(&mut self, index: usize) {
        let sizes = self.layout.sizes(index).into_iter();
        let zeros = sizes.map(|size| Tensor::zeros([size], self.device)).collect();
        Sink::block(self, index, zeros);
    }
}
