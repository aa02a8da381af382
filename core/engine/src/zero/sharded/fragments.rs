//! Updates of pieces whose fragments are not all changed alike. Matrices are updated as a whole: ranks exchange what directions are the
//! orthogonal parts of, and every rank makes the directions of the matrices of which it owns something.

use std::collections::VecDeque;

use burn::tensor::Tensor;
use isograd_ops::kernels::KernelBackend;

use super::Sharded;
use crate::{Result, Rule, Spec};

impl<B: KernelBackend> Sharded<B> {
    /// Updates this rank's pieces fragment by fragment, and brings all weights up to date.
    pub(super) fn update_fragments(
        &mut self,
        step: usize,
        learning_rate: f64,
        gradients: Vec<Tensor<B, 1>>,
        scale: f64,
    ) -> Result<()> {
        let rates = self.optimizer.begin(learning_rate, scale);
        let nothing = Tensor::zeros([1], &self.device);
        let mut new = Vec::with_capacity(self.weights.len());
        let mut under_way = VecDeque::new();
        let mut first = 0;
        for (block, gradient) in gradients.into_iter().enumerate() {
            let fragments = self.layout.fragments(block, self.comm.rank());
            let units = first..first + fragments.len();
            first = units.end;
            let piece = if self.zero.shards_weights() {
                std::mem::replace(&mut self.weights[block], nothing.clone())
            } else {
                let piece = self.cut(block);
                // What is replaced is let go of block by block.
                self.weights[self.layout.block(block)].fill(nothing.clone());
                piece
            };
            let mut start = 0;
            let mut parts = Vec::with_capacity(fragments.len());
            for fragment in &fragments {
                let length = fragment.range.len();
                parts.push([&piece, &gradient].map(|whole| whole.clone().narrow(0, start, length)));
                start += length;
            }
            drop((piece, gradient));
            // Of all ranks' matrices, what directions are made of.
            let ahead = units.clone().zip(&parts).map(|(unit, [values, gradient])| match self.optimizer.rule(unit) {
                Rule::Muon(_) => self.optimizer.ahead(&rates, unit, gradient.clone()),
                Rule::Adamw | Rule::Frozen => values.zeros_like(),
            });
            let ahead = ahead.collect();
            let turns = |own: &Spec| matches!(Rule::of(own, self.optimizer.kind()), Rule::Muon(_));
            let has_matrices = self.layout.parameters_of(block).iter().any(turns);
            let ahead = if has_matrices {
                let own = self.joined(block, ahead);
                self.comm.all_gather(own, self.layout.sizes(block)).wait()?
            } else {
                Vec::new()
            };
            let before = self.layout.block(block).start;
            let pairs = units.zip(fragments.iter().zip(parts));
            let updated = pairs.map(|(unit, (fragment, [values, gradient]))| match self.optimizer.rule(unit) {
                Rule::Frozen => values,
                Rule::Adamw => self.optimizer.apply(&rates, unit, values, gradient),
                Rule::Muon(matrices) => {
                    let direction = matrices.orthogonal(ahead[fragment.parameter - before].clone());
                    let own = direction.slice([fragment.range.clone()]);
                    self.optimizer.descend(&rates, unit, values, own)
                }
            });
            let updated = updated.collect();
            let piece = self.joined(block, updated);
            if self.average.is_on() {
                self.average.include(step, block, piece.clone());
            }
            if self.zero.shards_weights() {
                self.weights[block] = piece;
                continue;
            }
            under_way.push_back(self.comm.all_gather(piece, self.layout.sizes(block)));
            if under_way.len() > 1
                && let Some(first) = under_way.pop_front()
            {
                new.extend(first.wait()?);
            }
        }
        for last in under_way {
            new.extend(last.wait()?);
        }
        if !self.zero.shards_weights() {
            self.weights = new;
        }
        Ok(())
    }
}
