//! Gradients on their way to the ranks that need them.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use isograd_backends::comm::{Communicator, Pending};

use super::Layout;
use crate::Result;
use crate::engine::{Sink, add};

/// What is known of the gradients of a stage.
enum Held<B: Backend> {
    /// This rank's own, summed over walks; or, when they have come back, the sums over all ranks.
    All(Vec<Tensor<B, 1>>),
    /// This rank's piece of the sums over all ranks.
    Piece(Tensor<B, 1>),
}

/// Gradients of a stage that are on their way.
enum Leaving<B: Backend> {
    All(Pending<Vec<Tensor<B, 1>>>),
    Piece(Pending<Tensor<B, 1>>),
}

/// Takes gradients stage by stage, while the walk back goes on, and sums them over the ranks: all of them
/// (`zero` 0), or this rank's piece, after the last walk (1) or after each (2 and 3). Those of one stage at a time
/// are on their way, so that no more than that is held beside what has arrived.
pub(super) struct Reducer<'a, B: Backend> {
    comm: &'a dyn Communicator<B>,
    layout: &'a Layout,
    zero: u8,
    device: &'a B::Device,
    /// Walks that each stage still expects.
    left: Vec<usize>,
    stages: Vec<Option<Held<B>>>,
    leaving: Option<(usize, Leaving<B>)>,
    failed: Result<()>,
}

impl<'a, B: Backend> Reducer<'a, B> {
    pub(super) fn new(
        comm: &'a dyn Communicator<B>,
        layout: &'a Layout,
        zero: u8,
        walks: usize,
        device: &'a B::Device,
    ) -> Self {
        let count = layout.stages();
        let stages = (0..count).map(|_| None).collect();
        Self { comm, layout, zero, device, left: vec![walks; count], stages, leaving: None, failed: Ok(()) }
    }

    /// The gradients: of all parameters, or a piece for each stage.
    pub(super) fn finish(mut self) -> Result<Vec<Tensor<B, 1>>> {
        self.settle();
        self.failed?;
        let mut all = Vec::new();
        for (index, held) in self.stages.into_iter().enumerate() {
            match held {
                Some(Held::All(gradients)) => all.extend(gradients),
                Some(Held::Piece(piece)) => all.push(piece),
                None => panic!("Reducer: stage {index} has no gradients"),
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
                let sum = match self.stages[index].take() {
                    Some(Held::Piece(earlier)) => earlier + piece,
                    _ => piece,
                };
                self.stages[index] = Some(Held::Piece(sum));
            }
            Ok(all) => self.stages[index] = Some(all),
            Err(error) => self.failed = Err(error.into()),
        }
    }
}

impl<B: Backend> Sink<B> for Reducer<'_, B> {
    fn stage(&mut self, index: usize, gradients: Vec<Tensor<B, 1>>) {
        self.left[index] -= 1;
        let last = self.left[index] == 0;
        let gradients = match self.stages[index].take() {
            Some(Held::All(earlier)) => add(Some(earlier), gradients),
            held => {
                self.stages[index] = held;
                gradients
            }
        };
        let leaves = self.comm.size() > 1 && (last || self.zero >= 2);
        if !leaves {
            self.stages[index] = Some(Held::All(gradients));
            return;
        }
        self.settle();
        let leaving = match self.zero {
            0 => Leaving::All(self.comm.all_reduce(gradients)),
            _ => Leaving::Piece(self.comm.reduce_scatter(gradients)),
        };
        self.leaving = Some((index, leaving));
    }

    fn idle(&mut self, index: usize) {
        let sizes = self.layout.sizes(index).into_iter();
        let zeros = sizes.map(|size| Tensor::zeros([size], self.device)).collect();
        self.stage(index, zeros);
    }
}
