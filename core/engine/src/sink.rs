//! Where gradients go.

use std::sync::{Mutex, PoisonError};

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Takes the gradients of each block as soon as they are there, the last block first.
pub trait Sink<B: Backend> {
    /// The gradients of one block, in the order of their declaration.
    fn block(&mut self, index: usize, gradients: Vec<Tensor<B, 1>>);

    /// There are none for this block, as a walk had nothing to do.
    fn idle(&mut self, index: usize);
}

/// The gradients of a block, each added to an earlier one.
pub(crate) fn add<B: Backend>(earlier: Option<Vec<Tensor<B, 1>>>, gradients: Vec<Tensor<B, 1>>) -> Vec<Tensor<B, 1>> {
    match earlier {
        Some(earlier) => earlier.into_iter().zip(gradients).map(|(a, b)| a + b).collect(),
        None => gradients,
    }
}

/// Adds up the gradients of each block over several walks.
#[derive(Debug)]
pub struct Collect<B: Backend> {
    blocks: Vec<Option<Vec<Tensor<B, 1>>>>,
}

impl<B: Backend> Collect<B> {
    /// For a model of this many blocks.
    pub fn new(blocks: usize) -> Self {
        Self { blocks: vec![None; blocks] }
    }

    /// All gradients, in the order of the blocks.
    pub fn gradients(self) -> Vec<Tensor<B, 1>> {
        self.blocks.into_iter().flatten().flatten().collect()
    }
}

impl<B: Backend> Sink<B> for Collect<B> {
    fn block(&mut self, index: usize, gradients: Vec<Tensor<B, 1>>) {
        self.blocks[index] = Some(add(self.blocks[index].take(), gradients));
    }

    fn idle(&mut self, _index: usize) {}
}

/// The gradients of one block, by the walk that they come from.
type Arrived<B> = Vec<Option<Vec<Tensor<B, 1>>>>;

/// Joins walks that are made side by side: once every walk has delivered a block, its gradients are added in the order of
/// the walks and passed on to one sink.
pub struct JoinedSinks<'a, B: Backend, S: ?Sized> {
    walks: usize,
    inner: Mutex<(Vec<Arrived<B>>, &'a mut S)>,
}

impl<'a, B: Backend, S: Sink<B> + ?Sized> JoinedSinks<'a, B, S> {
    /// Of `walks` walks through `blocks` blocks.
    pub fn new(walks: usize, blocks: usize, sink: &'a mut S) -> Self {
        let arrived = (0..blocks).map(|_| (0..walks).map(|_| None).collect()).collect();
        Self { walks, inner: Mutex::new((arrived, sink)) }
    }

    /// The sink of one of the walks.
    pub fn of(&self, walk: usize) -> impl Sink<B> + '_ {
        assert!(walk < self.walks, "JoinedSinks: walk {walk} of {}", self.walks);
        Participant { joined: self, walk }
    }
}

struct Participant<'a, 'b, B: Backend, S: ?Sized> {
    joined: &'a JoinedSinks<'b, B, S>,
    walk: usize,
}

impl<B: Backend, S: Sink<B> + ?Sized> Sink<B> for Participant<'_, '_, B, S> {
    fn block(&mut self, index: usize, gradients: Vec<Tensor<B, 1>>) {
        let mut inner = self.joined.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (arrived, sink) = &mut *inner;
        arrived[index][self.walk] = Some(gradients);
        if arrived[index].iter().all(Option::is_some) {
            let all = std::mem::take(&mut arrived[index]).into_iter().flatten();
            if let Some(sum) = all.reduce(|sum, next| add(Some(sum), next)) {
                sink.block(index, sum);
            }
        }
    }

    fn idle(&mut self, index: usize) {
        panic!("JoinedSinks: a walk brings nothing for block {index}; those that do not take part are not counted");
    }
}
