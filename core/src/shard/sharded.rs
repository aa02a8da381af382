//! A model in training on one of R ranks: weights, gradients, optimizer states and averages, as much of each
//! as the ZeRO stage leaves this rank.

use std::collections::VecDeque;
use std::sync::Arc;

use burn::backend::Autodiff;
use burn::module::AutodiffModule;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use isograd_backends::comm::Communicator;
use isograd_backends::message::MessageBackend;
use serde::{Deserialize, Serialize};

use super::gather::Gathering;
use super::layout::{Fragment, Layout};
use super::reduce::Reducer;
use super::view::View;
use crate::Result;
use crate::config::TrainConfig;
use crate::model::{self, Egnn};
use crate::train::{Average, Optimizer, Step, accumulate, squares};

/// Weights on this rank.
enum Weights<B: Backend> {
    /// All of them; taken out only while they are updated in place.
    Whole(Option<Box<Egnn<Autodiff<B>>>>),
    /// A piece of each stage, and a model whose parameters take no memory.
    Pieces(Vec<Tensor<B, 1>>, Box<Egnn<Autodiff<B>>>),
}

/// Values under a name.
pub type Group<B> = (&'static str, Vec<Tensor<B, 1>>);

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
/// What a rank owns is a list of flat tensors: the parameters in the order of [`model::read`] where nothing is
/// sharded, else its piece of each stage.
pub struct Sharded<B: MessageBackend> {
    comm: Arc<dyn Communicator<B>>,
    zero: u8,
    layout: Layout,
    weights: Weights<B>,
    optimizer: Optimizer<B>,
    average: Average<B>,
    device: B::Device,
    gradient_bytes: u64,
}

impl<B: MessageBackend> Sharded<B> {
    /// Shares out a model that is the same on all ranks.
    pub fn new(
        model: Egnn<Autodiff<B>>,
        comm: Arc<dyn Communicator<B>>,
        zero: u8,
        train: &TrainConfig,
        device: &B::Device,
    ) -> Self {
        let zero = if comm.size() == 1 { 0 } else { zero };
        let layout = Layout::new(&model.valid(), comm.size());
        let mut own = Self {
            comm,
            zero,
            layout,
            weights: Weights::Whole(Some(Box::new(model))),
            optimizer: Optimizer::new(&train.optimizer),
            average: Average::new(train.ema_decay),
            device: device.clone(),
            gradient_bytes: 0,
        };
        if zero >= 3 {
            let model = own.take_whole();
            let values = values(&model);
            let pieces = (0..own.layout.stages()).map(|stage| own.cut(stage, &values)).collect();
            own.weights = Weights::Pieces(pieces, Box::new(model::hollow(*model)));
        }
        own
    }

    /// Which rank owns what.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Whether this rank owns a piece of each stage, rather than all parameters.
    fn is_cut(&self) -> bool {
        self.zero >= 1
    }

    /// This rank's part of the loss of a step, and what it owns of the gradients of all ranks together.
    ///
    /// # Errors
    /// [`crate::Error::Ranks`].
    pub fn gradients(&mut self, step: &Step<'_>) -> Result<(f64, Vec<Tensor<B, 1>>)> {
        let mut reducer = Reducer::new(&*self.comm, &self.layout, self.zero, step.batches.len(), &self.device);
        let loss = match &self.weights {
            Weights::Whole(model) => {
                let model = model.as_ref().expect("the model is back after each update");
                accumulate(model, &model.stages(), step, &self.device, &mut reducer)?
            }
            Weights::Pieces(pieces, hollow) => {
                let stages = Gathering::new(&*self.comm, &self.layout, pieces, hollow.stages(), Tensor::from_inner);
                accumulate(hollow, &stages, step, &self.device, &mut reducer)?
            }
        };
        let gradients = reducer.finish()?;
        self.gradient_bytes = bytes(&gradients);
        Ok((loss, gradients))
    }

    /// The sum of the squares of gradients, where ranks that own pieces have theirs each; ranks that own all
    /// have the same, of which only the first one's counts.
    pub fn squares(&self, gradients: &[Tensor<B, 1>]) -> f64 {
        if self.is_cut() || self.comm.rank() == 0 { squares(gradients) } else { 0.0 }
    }

    /// Updates what this rank owns, and brings all weights up to date. Gradients are multiplied by `scale` on the
    /// way; `step`, from 1, is that of the average.
    ///
    /// # Errors
    /// [`crate::Error::Ranks`].
    pub fn update(&mut self, step: usize, learning_rate: f64, gradients: Vec<Tensor<B, 1>>, scale: f64) -> Result<()> {
        match &mut self.weights {
            Weights::Whole(model) if self.zero == 0 => {
                let old = model.take().expect("the model is back after each update");
                let new = self.optimizer.step(*old, learning_rate, gradients, scale);
                if self.average.is_on() {
                    self.average.update(step, values(&new));
                }
                *model = Some(Box::new(new));
            }
            Weights::Whole(_) => self.update_pieces(step, learning_rate, gradients, scale)?,
            Weights::Pieces(pieces, _) => {
                let rates = self.optimizer.begin(learning_rate, scale, gradients.len());
                let old = std::mem::take(pieces).into_iter().zip(gradients).enumerate();
                *pieces =
                    old.map(|(k, (values, gradient))| self.optimizer.apply(&rates, k, values, gradient)).collect();
                if self.average.is_on() {
                    self.average.update(step, pieces.clone());
                }
            }
        }
        Ok(())
    }

    /// Updates this rank's pieces of weights that all ranks have, and exchanges them: a stage is on its way while
    /// the next is updated.
    fn update_pieces(
        &mut self,
        step: usize,
        learning_rate: f64,
        gradients: Vec<Tensor<B, 1>>,
        scale: f64,
    ) -> Result<()> {
        let rates = self.optimizer.begin(learning_rate, scale, gradients.len());
        let model = self.take_whole();
        let mut old: Vec<Tensor<B, 1>> = values(&model);
        // Lets go of what is replaced stage by stage.
        let hollow = model::hollow(*model);
        let nothing = Tensor::zeros([1], &self.device);
        let mut new = Vec::with_capacity(old.len());
        let mut under_way = VecDeque::new();
        for (stage, gradient) in gradients.into_iter().enumerate() {
            let piece = self.cut(stage, &old);
            old[self.layout.stage(stage)].fill(nothing.clone());
            let piece = self.optimizer.apply(&rates, stage, piece, gradient);
            if self.average.is_on() {
                self.average.include(step, stage, piece.clone());
            }
            under_way.push_back(self.comm.all_gather(piece, self.layout.sizes(stage)));
            if under_way.len() > 1
                && let Some(first) = under_way.pop_front()
            {
                new.extend(first.wait()?);
            }
        }
        for last in under_way {
            new.extend(last.wait()?);
        }
        self.weights = Weights::Whole(Some(Box::new(filled(hollow, new))));
        Ok(())
    }

    fn take_whole(&mut self) -> Box<Egnn<Autodiff<B>>> {
        match &mut self.weights {
            Weights::Whole(model) => model.take().expect("the model is back after each update"),
            Weights::Pieces(..) => panic!("Sharded: no rank has all weights"),
        }
    }

    /// This rank's piece of a stage, from all parameters.
    fn cut(&self, stage: usize, parameters: &[Tensor<B, 1>]) -> Tensor<B, 1> {
        let fragments = self.layout.fragments(stage, self.comm.rank());
        let mut parts: Vec<_> = fragments.iter().map(|fragment| slice(parameters, fragment)).collect();
        let length: usize = fragments.iter().map(|fragment| fragment.range.len()).sum();
        let padding = self.layout.piece(stage) - length;
        if padding > 0 {
            parts.push(Tensor::zeros([padding], &self.device));
        }
        Tensor::cat(parts, 0)
    }

    /// The latest weights.
    pub fn latest(&self) -> View<'_, B> {
        let (comm, layout) = (&*self.comm, &self.layout);
        match &self.weights {
            Weights::Whole(_) => View { comm, layout, shape: self.shape(), pieces: None },
            Weights::Pieces(pieces, _) => View { comm, layout, shape: self.shape(), pieces: Some(pieces) },
        }
    }

    /// The averaged weights; `None` where there is no average.
    pub fn averaged(&self) -> Option<View<'_, B>> {
        let (comm, layout, values) = (&*self.comm, &self.layout, &self.average.values);
        if values.is_empty() {
            return None;
        }
        Some(if self.is_cut() {
            View { comm, layout, shape: model::hollow(self.shape()), pieces: Some(values) }
        } else {
            View { comm, layout, shape: model::write(self.shape(), values), pieces: None }
        })
    }

    /// The model, without its parameters where no rank has all of them.
    fn shape(&self) -> Egnn<B> {
        match &self.weights {
            Weights::Whole(model) => model.as_ref().expect("the model is back after each update").valid(),
            Weights::Pieces(_, hollow) => hollow.valid(),
        }
    }

    /// What this rank owns of the latest weights.
    fn owned_weights(&self) -> Vec<Tensor<B, 1>> {
        match &self.weights {
            Weights::Whole(model) => {
                let all = values(model.as_ref().expect("the model is back after each update"));
                if self.is_cut() { (0..self.layout.stages()).map(|stage| self.cut(stage, &all)).collect() } else { all }
            }
            Weights::Pieces(pieces, _) => pieces.clone(),
        }
    }

    /// Steps of the optimizer, and groups of values of the fragments that this rank has to keep: `weights`,
    /// `average`, `first` and `second`, in the order of [`Layout::owned`]. Groups may be empty.
    pub fn state(&self) -> (usize, Vec<Group<B>>) {
        let (steps, moments) = self.optimizer.state().unwrap_or_default();
        let (first, second): (Vec<_>, Vec<_>) = moments.into_iter().map(|[first, second]| (first, second)).unzip();
        let groups = [
            ("weights", self.owned_weights()),
            ("average", self.average.values.clone()),
            ("first", first),
            ("second", second),
        ];
        (steps, groups.into_iter().map(|(name, owned)| (name, self.fragments_of(&owned))).collect())
    }

    /// The values of this rank's fragments.
    fn fragments_of(&self, owned: &[Tensor<B, 1>]) -> Vec<Tensor<B, 1>> {
        let rank = self.comm.rank();
        if owned.is_empty() {
            return Vec::new();
        }
        if !self.is_cut() {
            return self.layout.owned(rank).iter().map(|fragment| slice(owned, fragment)).collect();
        }
        let stage = |(stage, piece): (usize, &Tensor<B, 1>)| {
            let mut start = 0;
            let next = |fragment: Fragment| {
                let length = fragment.range.len();
                start += length;
                piece.clone().narrow(0, start - length, length)
            };
            self.layout.fragments(stage, rank).into_iter().map(next).collect::<Vec<_>>()
        };
        owned.iter().enumerate().flat_map(stage).collect()
    }

    /// Goes on from a state. `read` gives the values of fragments of a group, one tensor for all of them, with
    /// zeros up to the length that is asked for; `None` where the group is empty.
    ///
    /// # Errors
    /// Those of `read`.
    pub fn restore(
        &mut self,
        steps: usize,
        mut read: impl FnMut(&str, &[Fragment], usize) -> Result<Option<Tensor<B, 1>>>,
    ) -> Result<()> {
        let whole: Vec<(Vec<Fragment>, usize)> = self
            .layout
            .parameters
            .iter()
            .enumerate()
            .map(|(parameter, entry)| (vec![Fragment { parameter, range: 0..entry.size }], entry.size))
            .collect();
        let rank = self.comm.rank();
        let cut: Vec<(Vec<Fragment>, usize)> = (0..self.layout.stages())
            .map(|stage| (self.layout.fragments(stage, rank), self.layout.piece(stage)))
            .collect();
        let owned = if self.is_cut() { &cut } else { &whole };
        let mut group = |name: &str, shares: &[(Vec<Fragment>, usize)]| -> Result<Vec<Tensor<B, 1>>> {
            let values = shares.iter().map(|(fragments, length)| read(name, fragments, *length));
            Ok(values.collect::<Result<Vec<_>>>()?.into_iter().flatten().collect())
        };
        self.average.values = group("average", owned)?;
        let moments = group("first", owned)?.into_iter().zip(group("second", owned)?);
        let moments: Vec<_> = moments.map(|(first, second)| [first, second]).collect();
        if !moments.is_empty() {
            self.optimizer.restore(steps, moments);
        }
        match &mut self.weights {
            Weights::Pieces(pieces, _) => *pieces = group("weights", &cut)?,
            Weights::Whole(model) => {
                let values = group("weights", &whole)?;
                *model = model.take().map(|model| Box::new(filled(*model, values)));
            }
        }
        Ok(())
    }

    /// Bytes of the tensors on this rank.
    pub fn held(&self) -> HeldBytes {
        let moments = self.optimizer.state().map(|(_, moments)| moments).unwrap_or_default();
        let parameters = match &self.weights {
            Weights::Whole(model) => bytes(&values(model.as_ref().expect("the model is back after each update"))),
            Weights::Pieces(pieces, _) => bytes(pieces),
        };
        HeldBytes {
            parameters,
            gradients: self.gradient_bytes,
            optimizer: moments.iter().map(|pair| bytes(pair)).sum(),
            ema: bytes(&self.average.values),
        }
    }
}

/// All parameters of a model.
fn values<B: MessageBackend>(model: &Egnn<Autodiff<B>>) -> Vec<Tensor<B, 1>> {
    model::read(&model.valid()).into_iter().map(|parameter| parameter.values).collect()
}

/// A model with these values.
fn filled<B: MessageBackend>(model: Egnn<Autodiff<B>>, values: Vec<Tensor<B, 1>>) -> Egnn<Autodiff<B>> {
    let values: Vec<_> = values.into_iter().map(Tensor::from_inner).collect();
    model::write(model, &values)
}

fn slice<B: Backend>(parameters: &[Tensor<B, 1>], fragment: &Fragment) -> Tensor<B, 1> {
    let values = &parameters[fragment.parameter];
    if fragment.range == (0..values.dims()[0]) {
        values.clone()
    } else {
        values.clone().slice([fragment.range.clone()])
    }
}

fn bytes<B: Backend>(tensors: &[Tensor<B, 1>]) -> u64 {
    tensors.iter().map(|tensor| (tensor.dims()[0] * tensor.dtype().size()) as u64).sum()
}
