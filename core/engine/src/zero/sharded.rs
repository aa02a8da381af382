//! A model in training on one of R ranks: weights, gradients, optimizer states and averages, as much of each
//! as ZeRO leaves this rank.

mod fragments;

use std::collections::VecDeque;
use std::sync::Arc;

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use isograd_comm::Communicator;
use isograd_ops::kernels::KernelBackend;
use serde::{Deserialize, Serialize};

use super::Zero;
use super::reduce::Reducer;
use super::view::View;
use crate::{
    Average, Fragment, Layout, Optimizer, OptimizerConfig, OptimizerKind, Result, Rule, Sink, WeightSource, squares,
};

/// Values under a name; `None` where there are none of a fragment.
pub type Group<B> = (&'static str, Vec<Option<Tensor<B, 1>>>);

/// How weights are changed.
#[derive(Debug, Clone, PartialEq)]
pub struct Train {
    /// AdamW or Muon.
    pub optimizer: OptimizerConfig,
    /// Decay of the average of the weights; 0 turns it off.
    pub ema_decay: f64,
    /// What ranks own a piece of.
    pub zero: Zero,
}

/// Bytes of the tensors that a rank holds between steps; of gradients, those of the last step.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldBytes {
    /// Weights.
    pub parameters: u64,
    /// Gradients.
    pub gradients: u64,
    /// Moments of the optimizer.
    pub optimizer: u64,
    /// Averaged weights.
    pub ema: u64,
}

/// A model in training on one of R ranks.
///
/// What a rank owns is a list of flat tensors: all parameters in the order of their declaration, or its piece of each
/// block.
pub struct Sharded<B: KernelBackend> {
    comm: Arc<dyn Communicator<B>>,
    zero: Zero,
    layout: Layout,
    /// All parameters, or with [`Zero::Weights`] the pieces.
    weights: Vec<Tensor<B, 1>>,
    /// Of all parameters, or of the pieces; where parts of a piece are changed in different ways, of the fragments.
    optimizer: Optimizer<B>,
    /// Whether pieces may have a part of a matrix that is updated as a whole, or of a frozen parameter.
    by_fragment: bool,
    average: Average<B>,
    device: B::Device,
    gradient_bytes: u64,
}

impl<B: KernelBackend> Sharded<B> {
    /// Weights as they begin from a seed. A rank makes what it owns and nothing else.
    ///
    /// # Panics
    /// If the layout is of another number of ranks.
    pub fn new(layout: Layout, seed: u64, comm: Arc<dyn Communicator<B>>, train: &Train, device: &B::Device) -> Self {
        assert_eq!(layout.ranks(), comm.size(), "Sharded: ranks of the layout");
        let zero = if comm.size() == 1 { Zero::Off } else { train.zero };
        let weights =
            if zero.shards_weights() { layout.pieces(seed, comm.rank(), device) } else { layout.whole(seed, device) };
        let config = &train.optimizer;
        let differ = config.kind == OptimizerKind::Muon || layout.parameters().iter().any(|spec| spec.frozen);
        let by_fragment = zero.shards_states() && differ;
        let optimizer = if by_fragment {
            let owned = layout.owned(comm.rank()).into_iter();
            Optimizer::of(config, owned.map(|own| Rule::of(&layout.parameters()[own.parameter], config.kind)))
        } else if zero.shards_states() {
            Optimizer::of(config, vec![Rule::Adamw; layout.blocks()])
        } else {
            Optimizer::new(config, layout.parameters())
        };
        Self {
            comm,
            zero,
            layout,
            weights,
            by_fragment,
            optimizer,
            average: Average::new(train.ema_decay),
            device: device.clone(),
            gradient_bytes: 0,
        }
    }

    /// Which rank owns what.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// What `work` returns, and what this rank owns of the gradients of all ranks together. `work` walks the blocks
    /// `walks` times with the weights and the sink that it is given.
    ///
    /// # Errors
    /// Those of `work`, and [`crate::Error::Ranks`].
    pub fn gradients<T, E: From<crate::Error>>(
        &mut self,
        walks: usize,
        work: impl FnOnce(&(dyn WeightSource<B> + Sync), &mut (dyn Sink<B> + Send)) -> Result<T, E>,
    ) -> Result<(T, Vec<Tensor<B, 1>>), E> {
        let mut reducer = Reducer::new(&*self.comm, &self.layout, self.zero, walks, &self.device);
        let found = work(&*self.latest().source(), &mut reducer)?;
        let gradients = reducer.finish()?;
        self.gradient_bytes = bytes(&gradients);
        Ok((found, gradients))
    }

    /// The sum of the squares of gradients, where ranks that own pieces have theirs each; ranks that own all
    /// have the same, of which only the first one's counts.
    pub fn squares(&self, gradients: &[Tensor<B, 1>]) -> f64 {
        if self.zero.shards_states() || self.comm.rank() == 0 { squares(gradients) } else { 0.0 }
    }

    /// Updates what this rank owns, and brings all weights up to date. Gradients are multiplied by `scale` on the
    /// way; `step`, from 1, is that of the average.
    ///
    /// # Errors
    /// [`crate::Error::Ranks`].
    pub fn update(&mut self, step: usize, learning_rate: f64, gradients: Vec<Tensor<B, 1>>, scale: f64) -> Result<()> {
        if self.by_fragment {
            return self.update_fragments(step, learning_rate, gradients, scale);
        }
        if self.zero.shards_states() && !self.zero.shards_weights() {
            return self.update_pieces(step, learning_rate, gradients, scale);
        }
        let old = std::mem::take(&mut self.weights);
        self.weights = self.optimizer.step(old, learning_rate, gradients, scale);
        if self.average.is_on() {
            self.average.update(step, self.weights.clone());
        }
        Ok(())
    }

    /// Updates this rank's pieces of weights that all ranks have, and exchanges them: a block is on its way while
    /// the next is updated.
    fn update_pieces(
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
        for (block, gradient) in gradients.into_iter().enumerate() {
            let piece = self.cut(block);
            // What is replaced is let go of block by block.
            self.weights[self.layout.block(block)].fill(nothing.clone());
            let piece = self.optimizer.apply(&rates, block, piece, gradient);
            if self.average.is_on() {
                self.average.include(step, block, piece.clone());
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
        self.weights = new;
        Ok(())
    }

    /// This rank's piece of a block, from all parameters.
    fn cut(&self, block: usize) -> Tensor<B, 1> {
        let fragments = self.layout.fragments(block, self.comm.rank());
        self.joined(
            block,
            fragments.iter().map(|fragment| slice(&self.weights[fragment.parameter], fragment)).collect(),
        )
    }

    /// A piece of a block, from its fragments.
    fn joined(&self, block: usize, mut fragments: Vec<Tensor<B, 1>>) -> Tensor<B, 1> {
        let length: usize = fragments.iter().map(|fragment| fragment.dims()[0]).sum();
        let padding = self.layout.piece(block) - length;
        if padding > 0 {
            fragments.push(Tensor::zeros([padding], &self.device));
        }
        Tensor::cat(fragments, 0)
    }

    /// The latest weights.
    pub fn latest(&self) -> View<'_, B> {
        self.view(&self.weights, self.zero.shards_weights())
    }

    /// The averaged weights; `None` where there is no average.
    pub fn averaged(&self) -> Option<View<'_, B>> {
        let values = &self.average.values;
        (!values.is_empty()).then(|| self.view(values, self.zero.shards_states()))
    }

    fn view<'a>(&'a self, values: &'a [Tensor<B, 1>], is_cut: bool) -> View<'a, B> {
        View { comm: &*self.comm, layout: &self.layout, values, is_cut }
    }

    /// What this rank has to keep of the latest weights.
    fn owned_weights(&self) -> Vec<Tensor<B, 1>> {
        if self.zero.shards_states() && !self.zero.shards_weights() {
            (0..self.layout.blocks()).map(|block| self.cut(block)).collect()
        } else {
            self.weights.clone()
        }
    }

    /// Steps of the optimizer, and groups of values of the fragments that this rank has to keep: `weights`,
    /// `average`, `first` and `second`, in the order of [`Layout::owned`]. Groups may be empty.
    pub fn state(&self) -> (usize, Vec<Group<B>>) {
        let (steps, [first, second]) = self.optimizer.state().unwrap_or_default();
        let some = |values: Vec<Tensor<B, 1>>| values.into_iter().map(Some).collect::<Vec<_>>();
        // Moments may be of fragments already.
        let moments = |moments: Vec<_>| if self.by_fragment { moments } else { self.fragments_of(&moments) };
        let weights = self.fragments_of(&some(self.owned_weights()));
        let average = self.fragments_of(&some(self.average.values.clone()));
        let groups =
            [("weights", weights), ("average", average), ("first", moments(first)), ("second", moments(second))];
        (steps, groups.into())
    }

    /// The values of this rank's fragments, of all parameters or of its pieces.
    fn fragments_of(&self, owned: &[Option<Tensor<B, 1>>]) -> Vec<Option<Tensor<B, 1>>> {
        let rank = self.comm.rank();
        if owned.is_empty() {
            return Vec::new();
        }
        if !self.zero.shards_states() {
            let fragments = self.layout.owned(rank).into_iter();
            let of = |fragment: Fragment| owned[fragment.parameter].as_ref().map(|values| slice(values, &fragment));
            return fragments.map(of).collect();
        }
        let block = |(block, piece): (usize, &Option<Tensor<B, 1>>)| {
            let mut start = 0;
            let next = |fragment: Fragment| {
                let length = fragment.range.len();
                start += length;
                piece.as_ref().map(|piece| piece.clone().narrow(0, start - length, length))
            };
            self.layout.fragments(block, rank).into_iter().map(next).collect::<Vec<_>>()
        };
        owned.iter().enumerate().flat_map(block).collect()
    }

    /// Goes on from a state. `read` gives the values of fragments of a group, one tensor for all of them, with
    /// zeros up to the length that is asked for; `None` where the group is empty.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn restore<E>(
        &mut self,
        steps: usize,
        mut read: impl FnMut(&str, &[Fragment], usize) -> Result<Option<Tensor<B, 1>>, E>,
    ) -> Result<(), E> {
        let whole: Vec<(Vec<Fragment>, usize)> = self
            .layout
            .parameters()
            .iter()
            .enumerate()
            .map(|(parameter, spec)| (vec![Fragment { parameter, range: 0..spec.size() }], spec.size()))
            .collect();
        let rank = self.comm.rank();
        let cut: Vec<(Vec<Fragment>, usize)> = (0..self.layout.blocks())
            .map(|block| (self.layout.fragments(block, rank), self.layout.piece(block)))
            .collect();
        let owned = if self.zero.shards_states() { &cut } else { &whole };
        let mut group = |name: &str, shares: &[(Vec<Fragment>, usize)]| -> Result<Vec<Tensor<B, 1>>, E> {
            let values = shares.iter().map(|(fragments, length)| read(name, fragments, *length));
            Ok(values.collect::<Result<Vec<_>, E>>()?.into_iter().flatten().collect())
        };
        self.average.values = group("average", owned)?;
        let fragments: Vec<(Vec<Fragment>, usize)> = if self.by_fragment {
            let owned = self.layout.owned(rank).into_iter();
            owned.map(|own| (vec![own.clone()], own.range.len())).collect()
        } else {
            owned.clone()
        };
        // Some have fewer moments than others.
        let moments = |index: usize| self.optimizer.rule(index).moments();
        let mut of = |name: &str, nth: usize| -> Result<Vec<Option<Tensor<B, 1>>>, E> {
            let own = fragments.iter().enumerate().filter(|(index, _)| moments(*index) >= nth);
            let found = group(name, &own.map(|(_, share)| share.clone()).collect::<Vec<_>>())?;
            let mut found = found.into_iter();
            Ok((0..fragments.len()).map(|index| if moments(index) >= nth { found.next() } else { None }).collect())
        };
        let [first, second] = [of("first", 1)?, of("second", 2)?];
        if steps > 0 {
            self.optimizer.restore(steps, [first, second]);
        }
        self.weights = group("weights", if self.zero.shards_weights() { &cut } else { &whole })?;
        Ok(())
    }

    /// Puts other values in place of the weights that training begins with. `read` gives those of a fragment.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn begin_with<E>(&mut self, mut read: impl FnMut(&Fragment) -> Result<Vec<f32>, E>) -> Result<(), E> {
        let rank = self.comm.rank();
        let tensor = |values: Vec<f32>| {
            let length = values.len();
            Tensor::from_data(TensorData::new(values, [length]), &self.device)
        };
        let values: Vec<Tensor<B, 1>> = if self.zero.shards_weights() {
            let piece = |block: usize| {
                let fragments = self.layout.fragments(block, rank);
                let own = fragments.iter().map(|fragment| read(fragment).map(&tensor)).collect::<Result<_, E>>()?;
                Ok(self.joined(block, own))
            };
            (0..self.layout.blocks()).map(piece).collect::<Result<_, E>>()?
        } else {
            let whole = self.layout.parameters().iter().enumerate();
            let whole = whole.map(|(parameter, spec)| Fragment { parameter, range: 0..spec.size() });
            whole.map(|fragment| read(&fragment).map(&tensor)).collect::<Result<_, E>>()?
        };
        self.weights = values;
        Ok(())
    }

    /// Bytes of the tensors on this rank.
    pub fn held(&self) -> HeldBytes {
        let moments = self.optimizer.state().map(|(_, moments)| moments).unwrap_or_default();
        let moments: Vec<_> = moments.into_iter().flatten().flatten().collect();
        HeldBytes {
            parameters: bytes(&self.weights),
            gradients: self.gradient_bytes,
            optimizer: bytes(&moments),
            ema: bytes(&self.average.values),
        }
    }
}

fn slice<B: Backend>(values: &Tensor<B, 1>, fragment: &Fragment) -> Tensor<B, 1> {
    if fragment.range == (0..values.dims()[0]) {
        values.clone()
    } else {
        values.clone().slice([fragment.range.clone()])
    }
}

fn bytes<B: Backend>(tensors: &[Tensor<B, 1>]) -> u64 {
    tensors.iter().map(|tensor| (tensor.dims()[0] * tensor.dtype().size()) as u64).sum()
}
