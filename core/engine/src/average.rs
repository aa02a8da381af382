//! The exponential moving average of the weights (Polyak averaging).

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Averaged weights, or what a rank owns of them.
#[derive(Debug, Clone)]
pub struct Average<B: Backend> {
    decay: f64,
    /// The average so far; empty before the first update.
    pub values: Vec<Tensor<B, 1>>,
}

impl<B: Backend> Average<B> {
    /// An average that has seen nothing; decay 0 turns it off.
    pub fn new(decay: f64) -> Self {
        Self { decay, values: Vec::new() }
    }

    /// Whether anything is averaged.
    pub fn is_on(&self) -> bool {
        self.decay > 0.0
    }

    /// Takes the weights after step `step` (from 1) into account. The decay grows from 2/11 towards its
    /// value, so that the random weights of the start are soon forgotten.
    pub fn update(&mut self, step: usize, weights: Vec<Tensor<B, 1>>) {
        for (index, weights) in weights.into_iter().enumerate() {
            self.include(step, index, weights);
        }
    }

    /// As [`Self::update`], for one tensor; before there are values tensors must come in their order.
    pub fn include(&mut self, step: usize, index: usize, weights: Tensor<B, 1>) {
        let decay = self.decay.min((1.0 + step as f64) / (10.0 + step as f64));
        if index == self.values.len() {
            self.values.push(weights);
            return;
        }
        let old = self.values[index].clone();
        // Of weights that do not change, the average is what they are, to the bit.
        self.values[index] = old.clone() + (weights - old).mul_scalar(1.0 - decay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn_flex::Flex;

    #[test]
    fn it_follows_the_weights_and_forgets_the_start() {
        let device = Default::default();
        let mut average = Average::<Flex>::new(0.5);
        for (step, weight) in [8.0, 4.0, 2.0].into_iter().enumerate() {
            average.update(step + 1, vec![Tensor::from_floats([weight], &device)]);
        }
        // Decays: first value as it is, then min(0.5, 3/12) and min(0.5, 4/13).
        let after_two = 0.25 * 8.0 + 0.75 * 4.0;
        let expected = 4.0 / 13.0 * after_two + 9.0 / 13.0 * 2.0;
        assert!((average.values[0].clone().into_scalar() - expected as f32).abs() < 1e-6);
    }
}
