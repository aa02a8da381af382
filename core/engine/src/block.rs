//! A part of a model, what flows from part to part, and where weights come from.

use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{ElementConversion, Tensor};
use isograd_ops::value::Value;

use crate::{BlockWeights, Result, Spec};

/// A part of a model: a function of what flows into it, of its own weights and of the context, and of nothing else. Random
/// numbers come only from Burn's generator, see [`Walk::random`](crate::Walk).
///
/// The context is what all blocks read and no parameter's gradient depends on the way to: a graph, a batch of tokens.
pub trait Block<B: Backend, C: ?Sized>: Send + Sync {
    /// What flows out. The first block has nothing flowing in.
    fn forward(&self, weights: &BlockWeights<B>, context: &C, flow: Flow<B>) -> Flow<B>;
}

impl<B: Backend, C: ?Sized, T: Block<B, C> + ?Sized> Block<B, C> for Box<T> {
    fn forward(&self, weights: &BlockWeights<B>, context: &C, flow: Flow<B>) -> Flow<B> {
        (**self).forward(weights, context, flow)
    }
}

/// The blocks of a model, in their order.
pub type Blocks<B, C> = Vec<Box<dyn Block<B, C>>>;

/// What flows from block to block: matrices by name.
#[derive(Debug, Clone)]
pub struct Flow<B: Backend> {
    entries: Vec<(String, Value<B>)>,
}

impl<B: Backend> Default for Flow<B> {
    fn default() -> Self {
        Self { entries: Vec::new() }
    }
}

impl<B: Backend> Flow<B> {
    /// Nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an entry out; `None` where there is none of that name.
    pub fn take(&mut self, name: &str) -> Option<Value<B>> {
        let place = self.entries.iter().position(|(own, _)| own == name)?;
        Some(self.entries.remove(place).1)
    }

    /// Takes out an entry that a block before this one has put in.
    ///
    /// # Panics
    /// If there is none: the blocks do not belong together.
    pub fn need(&mut self, name: &str) -> Value<B> {
        let known: Vec<&str> = self.entries.iter().map(|(own, _)| own.as_str()).collect();
        let message = format!("Flow: no `{name}` flows in, only {known:?}");
        self.take(name).unwrap_or_else(|| panic!("{message}"))
    }

    /// Adds an entry, or replaces the one of that name.
    pub fn put(&mut self, name: &str, value: Value<B>) {
        match self.entries.iter_mut().find(|(own, _)| own == name) {
            Some(entry) => entry.1 = value,
            None => self.entries.push((name.to_owned(), value)),
        }
    }

    /// An entry, which stays.
    pub fn get(&self, name: &str) -> Option<&Value<B>> {
        self.entries.iter().find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// The names of all entries.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.as_str())
    }

    /// The tensors of all entries, in the order in which they were put in; a tangent follows its value.
    pub(crate) fn tensors(&self) -> impl Iterator<Item = &Tensor<B, 2>> {
        self.entries.iter().flat_map(|(_, value)| std::iter::once(value.tensor()).chain(value.tangent()))
    }
}

impl<B: Backend> Flow<B> {
    /// Ones for an entry, or for its tangent where it has one: the gradient of its sum with respect to each tensor.
    pub(crate) fn ones(&self, name: &str) -> Vec<Option<Tensor<B, 2>>> {
        let of = |(own, value): &(String, Value<B>)| {
            let ones = (own == name).then(|| value.tensor().ones_like());
            match value.tangent() {
                Some(_) => vec![None, ones],
                None => vec![ones],
            }
        };
        self.entries.iter().flat_map(of).collect()
    }
}

impl<A: AutodiffBackend> Flow<A> {
    /// The same numbers as the start of a graph.
    pub(crate) fn leaves(self) -> Self {
        Self { entries: self.entries.into_iter().map(|(name, value)| (name, value.leaf())).collect() }
    }

    /// The same numbers, known to no graph.
    pub(crate) fn detached(&self) -> Self {
        Self { entries: self.entries.iter().map(|(name, value)| (name.clone(), value.detached())).collect() }
    }

    /// The same numbers under autodiff.
    fn from_inner(flow: Flow<A::InnerBackend>) -> Self {
        let lift = |(name, value): (String, Value<A::InnerBackend>)| {
            (name, Value::new(Tensor::from_inner(value.into_tensor())))
        };
        Self { entries: flow.entries.into_iter().map(lift).collect() }
    }

    /// The same numbers on the backend without autodiff.
    pub fn inner(self) -> Flow<A::InnerBackend> {
        Flow { entries: self.entries.into_iter().map(|(name, value)| (name, value.inner())).collect() }
    }
}

impl<B: Backend> Flow<B> {
    /// The value of a loss of these entries, and its gradient with respect to each that it depends on, by the same names.
    pub fn gradient_of<A: AutodiffBackend<InnerBackend = B>>(
        self,
        loss: impl FnOnce(Flow<A>) -> Tensor<A, 1>,
    ) -> (f64, Self) {
        let ends = Flow::<A>::from_inner(self).leaves();
        let loss = loss(ends.clone());
        let value = loss.clone().into_scalar().elem::<f64>();
        let mut gradients = loss.backward();
        let of =
            |(name, value): (String, Value<A>)| Some((name, Value::new(value.tensor().grad_remove(&mut gradients)?)));
        (value, Self { entries: ends.entries.into_iter().filter_map(of).collect() })
    }
}

/// A context whose inputs a gradient can be asked for with respect to: the geometry of a graph.
pub trait Differentiable<A: AutodiffBackend>: Sized {
    /// Gradients, added up over blocks.
    type Cotangents: Default;

    /// The same context, whose inputs start a graph. Each block is given its own.
    fn leaves(&self) -> Self;

    /// Adds the gradients with respect to the inputs of this context, which [`Self::leaves`] has made.
    fn collect(self, gradients: &mut A::Gradients, sum: &mut Self::Cotangents);
}

/// Where the weights of blocks are: at hand, or to be fetched when a block is due.
pub trait WeightSource<B: Backend> {
    /// Weights will be asked for in this order of blocks.
    fn begin(&self, _order: Vec<usize>) {}

    /// The weights of a block, flat, in the order of their declaration.
    ///
    /// # Errors
    /// Where they cannot be had.
    fn weights(&self, block: usize) -> Result<Vec<Tensor<B, 1>>>;

    /// What the weights of a block are declared as.
    fn parameters(&self, block: usize) -> &[Spec];

    /// The weights of a block, each in its shape.
    ///
    /// # Errors
    /// As [`Self::weights`].
    fn of(&self, block: usize) -> Result<BlockWeights<B>> {
        Ok(BlockWeights::new(self.weights(block)?, self.parameters(block)))
    }
}

impl<B: Backend, S: WeightSource<B> + ?Sized> WeightSource<B> for &S {
    fn begin(&self, order: Vec<usize>) {
        (**self).begin(order);
    }

    fn weights(&self, block: usize) -> Result<Vec<Tensor<B, 1>>> {
        (**self).weights(block)
    }

    fn parameters(&self, block: usize) -> &[Spec] {
        (**self).parameters(block)
    }
}
