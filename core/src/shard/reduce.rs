//! Gradients on their way to the ranks that need them.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use isograd_backends::comm::{Communicator, Pending};

use super::Layout;
use crate::Result;
use crate::engine::{Sink, add};

/// What is known of the gradients of a stage.
enum Held<B: Backend> {
    /// This rank's own, summed over walks.
    Own(Vec<Tensor<B, 1>>),
    /// The sums over all ranks, on their way.
    Whole(Pending<Vec<Tensor<B, 1>>>),
    /// This rank's piece of the sums over all ranks, on its way.
    Piece(Pending<Tensor<B, 1>>),
}

/// Takes gradients stage by stage, while the walk back goes on, and sums them over the ranks: all of them
/// (`zero` 0), or this rank's piece, after the last walk (1) or after each (2 and 3).
pub(super) struct Reducer<'a, B: Backend> {
    comm: &'a dyn Communicator<B>,
    layout: &'a Layout,
    zero: u8,
    device: &'a B::Device,
    /// Walks that each stage still expects.
    left: Vec<usize>,
    stages: Vec<Option<Held<B>>>,
    /// Sums of earlier walks, where pieces leave after each.
    earlier: Vec<Option<Tensor<B, 1>>>,
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
        let none = || (0..layout.stages()).map(|_| None);
        Self {
            comm,
            layout,
            zero,
            device,
            left: vec![walks; layout.stages()],
            stages: none().collect(),
            earlier: (0..layout.stages()).map(|_| None).collect(),
            failed: Ok(()),
        }
    }

    /// The gradients: of all parameters, or a piece for each stage.
    pub(super) fn finish(self) -> Result<Vec<Tensor<B, 1>>> {
        self.failed?;
        let mut all = Vec::new();
        for (index, (held, earlier)) in self.stages.into_iter().zip(self.earlier).enumerate() {
            match held {
                Some(Held::Own(gradients)) => all.extend(gradients),
                Some(Held::Whole(pending)) => all.extend(pending.wait()?),
                Some(Held::Piece(pending)) => all.push(plus(earlier, pending.wait()?)),
                None => panic!("Reducer: stage {index} has no gradients"),
            }
        }
        Ok(all)
    }

    fn zeros(&self, index: usize) -> Vec<Tensor<B, 1>> {
        self.layout.sizes(index).into_iter().map(|size| Tensor::zeros([size], self.device)).collect()
    }

    /// Adds the piece that an earlier walk has left.
    fn settle(&mut self, index: usize) -> Result<()> {
        if let Some(Held::Piece(pending)) = self.stages[index].take() {
            self.earlier[index] = Some(plus(self.earlier[index].take(), pending.wait()?));
        }
        Ok(())
    }
}

fn plus<B: Backend>(earlier: Option<Tensor<B, 1>>, next: Tensor<B, 1>) -> Tensor<B, 1> {
    match earlier {
        Some(earlier) => earlier + next,
        None => next,
    }
}

impl<B: Backend> Sink<B> for Reducer<'_, B> {
    fn stage(&mut self, index: usize, gradients: Vec<Tensor<B, 1>>) {
        self.left[index] -= 1;
        let last = self.left[index] == 0;
        if self.zero >= 2 {
            if let Err(error) = self.settle(index) {
                self.failed = Err(error);
            }
            self.stages[index] = Some(Held::Piece(self.comm.reduce_scatter(gradients)));
            return;
        }
        let earlier = match self.stages[index].take() {
            Some(Held::Own(earlier)) => Some(earlier),
            _ => None,
        };
        let sum = add(earlier, gradients);
        self.stages[index] = Some(match (last, self.zero) {
            (false, _) => Held::Own(sum),
            (true, 0) if self.comm.size() == 1 => Held::Own(sum),
            (true, 0) => Held::Whole(self.comm.all_reduce(sum)),
            (true, _) => Held::Piece(self.comm.reduce_scatter(sum)),
        });
    }

    fn idle(&mut self, index: usize) {
        let zeros = self.zeros(index);
        self.stage(index, zeros);
    }
}
