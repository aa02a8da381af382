//! Directions of edges as tensors of all degrees.

use std::sync::Arc;

use burn::tensor::Tensor;
use isograd_ops::kernels::KernelBackend;
use isograd_ops::kernels::tensor_product::{Slot, Table, Term};
use isograd_ops::value::Value;

use super::Harmonics;

/// Harmonics of the directions of edges, of degrees 0 to l: the symmetric traceless part of `u u .. u`, where u is the
/// direction. Those of a degree have as many components as squares that add up to.
#[derive(Debug, Clone, PartialEq)]
pub struct Directions {
    dims: usize,
    /// What makes each degree from 2 on of degree 1 and the one before.
    steps: Vec<Arc<Table>>,
}

impl Directions {
    /// Of degrees up to `most`.
    pub fn new(harmonics: &Harmonics, most: usize) -> Self {
        let dims = harmonics.components(1);
        let mut along = vec![0.0; dims];
        along[0] = (dims as f64).sqrt();
        let mut steps = Vec::new();
        let mut before = along.clone();
        for degree in 2..=most {
            let components = harmonics.components(degree);
            let mut terms = harmonics.coupling(1, degree - 1, degree);
            let mut next = vec![0.0; components];
            terms.iter().for_each(|&(a, b, o, factor)| next[o] += factor * along[a] * before[b]);
            let scale = (components as f64 / next.iter().map(|x| x * x).sum::<f64>()).sqrt();
            terms.iter_mut().for_each(|term| term.3 *= scale);
            before = next.into_iter().map(|x| x * scale).collect();
            let terms = terms.into_iter().map(|(a, b, o, factor)| Term { at: [0, a, b, o], factor }).collect();
            steps.push(Arc::new(Table::new([1, dims, harmonics.components(degree - 1), components], terms)));
        }
        Self { dims, steps }
    }

    /// `[E, components]` of unit vectors `[E, D]`.
    pub fn of<B: KernelBackend>(&self, units: Value<B>) -> Value<B> {
        let [count, _] = units.dims();
        // Edges as channels, because they are many.
        let first = units.mul_scalar((self.dims as f64).sqrt()).transpose().reshape([1, self.dims * count]);
        let one = Value::new(Tensor::ones([1, count], &first.device()));
        let mut all = vec![one.clone(), first.clone()];
        for step in &self.steps {
            let last = all.last().unwrap_or(&first).clone();
            all.push(first.clone().tensor_product(step, last, one.clone()));
        }
        let components = 1 + self.dims + self.steps.iter().map(|step| step.size(Slot::Out)).sum::<usize>();
        Value::join(all).reshape([components, count]).transpose()
    }
}
