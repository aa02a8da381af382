//! Where gradients go.

use std::sync::{Mutex, PoisonError};

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Takes the gradients of each stage as soon as they are there, the last stage first.
pub trait Sink<B: Backend> {
    /// The gradients of one stage, in the order of [`crate::model::read`].
    fn stage(&mut self, index: usize, gradients: Vec<Tensor<B, 1>>);

    /// There are none for this stage, as a walk had nothing to do.
    fn idle(&mut self, index: usize);
}

/// The gradients of a stage, each added to an earlier one.
pub(crate) fn add<B: Backend>(earlier: Option<Vec<Tensor<B, 1>>>, gradients: Vec<Tensor<B, 1>>) -> Vec<Tensor<B, 1>> {
    match earlier {
        Some(earlier) => earlier.into_iter().zip(gradients).map(|(a, b)| a + b).collect(),
        None => gradients,
    }
}

/// Adds up the gradients of each stage over several walks.
#[derive(Debug)]
pub struct Collect<B: Backend> {
    stages: Vec<Option<Vec<Tensor<B, 1>>>>,
}

impl<B: Backend> Collect<B> {
    /// For a model of this many stages.
    pub fn new(stages: usize) -> Self {
        Self { stages: vec![None; stages] }
    }

    /// All gradients, in the order of the stages.
    pub fn gradients(self) -> Vec<Tensor<B, 1>> {
        self.stages.into_iter().flatten().flatten().collect()
    }
}

impl<B: Backend> Sink<B> for Collect<B> {
    fn stage(&mut self, index: usize, gradients: Vec<Tensor<B, 1>>) {
        self.stages[index] = Some(add(self.stages[index].take(), gradients));
    }

    fn idle(&mut self, _index: usize) {}
}

/// The gradients of one stage, by the walk that they come from.
type Arrived<B> = Vec<Option<Vec<Tensor<B, 1>>>>;

/// Where walks that are made side by side meet: the sum of what they bring for a stage, in their order, goes
/// to one sink.
pub struct Meeting<'a, B: Backend, S> {
    walks: usize,
    inner: Mutex<(Vec<Arrived<B>>, &'a mut S)>,
}

impl<'a, B: Backend, S: Sink<B>> Meeting<'a, B, S> {
    /// Of `walks` walks through `stages` stages.
    pub fn new(walks: usize, stages: usize, sink: &'a mut S) -> Self {
        let arrived = (0..stages).map(|_| (0..walks).map(|_| None).collect()).collect();
        Self { walks, inner: Mutex::new((arrived, sink)) }
    }

    /// The sink of one of the walks.
    pub fn of(&self, walk: usize) -> impl Sink<B> + '_ {
        assert!(walk < self.walks, "Meeting: walk {walk} of {}", self.walks);
        Participant { meeting: self, walk }
    }
}

struct Participant<'a, 'b, B: Backend, S> {
    meeting: &'a Meeting<'b, B, S>,
    walk: usize,
}

impl<B: Backend, S: Sink<B>> Sink<B> for Participant<'_, '_, B, S> {
    fn stage(&mut self, index: usize, gradients: Vec<Tensor<B, 1>>) {
        let mut inner = self.meeting.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let (arrived, sink) = &mut *inner;
        arrived[index][self.walk] = Some(gradients);
        if arrived[index].iter().all(Option::is_some) {
            let all = std::mem::take(&mut arrived[index]).into_iter().flatten();
            if let Some(sum) = all.reduce(|sum, next| add(Some(sum), next)) {
                sink.stage(index, sum);
            }
        }
    }

    fn idle(&mut self, index: usize) {
        panic!("Meeting: a walk brings nothing for stage {index}; those that do not take part are not counted");
    }
}
