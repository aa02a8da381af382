//! Random tensors, and how far two lists of numbers are apart.
#![allow(dead_code, reason = "each test program uses its own part")]

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};

/// Numbers from a small generator of our own, in (-1, 1).
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / (1u64 << 30) as f64 - 1.0
    }

    pub(crate) fn tensor<B: Backend, const R: usize>(&mut self, shape: [usize; R], size: f64) -> Tensor<B, R> {
        let values: Vec<f64> = (0..shape.iter().product()).map(|_| size * self.next()).collect();
        Tensor::from_data(TensorData::new(values, shape).convert::<B::FloatElem>(), &Default::default())
    }
}

pub(crate) fn numbers<B: Backend, const R: usize>(tensor: Tensor<B, R>) -> Vec<f64> {
    tensor.into_data().convert::<f64>().into_vec().unwrap()
}

/// Largest difference over the largest value.
pub(crate) fn error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(1e-12, |most: f64, x| most.max(x.abs()));
    found.iter().zip(expected).fold(0.0, |most: f64, (a, b)| {
        assert!(a.is_finite());
        most.max((a - b).abs())
    }) / size
}
