//! Rows of vector features: `[rows, D C]`, the C values along the first axis of space, then along the second, and
//! so on.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use super::Value;
use crate::kernels::KernelBackend;

impl<B: Backend> Value<B> {
    /// Of vectors `[rows, D]` and features `[rows, C]` every product, `[rows, D C]`: vector features along one
    /// direction.
    pub fn outer(self, features: Self) -> Self {
        let ([rows, axes], [_, columns]) = (self.dims(), features.dims());
        self.bilinear(features, |vectors, features| {
            let vectors: Tensor<B, 3> = vectors.reshape([rows, axes, 1]);
            let features: Tensor<B, 3> = features.reshape([rows, 1, columns]);
            (vectors * features).reshape([rows, axes * columns])
        })
    }

    /// Vector features `[rows, D C]`, each multiplied by a scalar feature `[rows, C]`, the same for all axes.
    pub fn scale_vectors(self, features: Self) -> Self {
        let ([rows, all], [_, columns]) = (self.dims(), features.dims());
        self.bilinear(features, |vectors, features| {
            let vectors: Tensor<B, 3> = vectors.reshape([rows, all / columns, columns]);
            let features: Tensor<B, 3> = features.reshape([rows, 1, columns]);
            (vectors * features).reshape([rows, all])
        })
    }

    /// The inner product of two rows of vector features in D dimensions, feature by feature: `[rows, C]`.
    pub fn dot_vectors(self, other: Self, axes: usize) -> Self {
        let [rows, all] = self.dims();
        self.bilinear(other, |first, second| {
            let product: Tensor<B, 3> = (first * second).reshape([rows, axes, all / axes]);
            product.sum_dim(1).reshape([rows, all / axes])
        })
    }
}

impl<B: KernelBackend> Value<B> {
    /// The product of vector features `[rows, D C]` with weights `[C, out]`, the same for all axes: `[rows, D out]`.
    ///
    /// # Panics
    /// If the columns are no multiple of C.
    pub fn matmul_vectors(self, weight: Tensor<B, 2>) -> Self {
        let ([rows, all], [columns, out]) = (self.dims(), weight.dims());
        assert_eq!(all % columns, 0, "matmul_vectors: {all} columns are no vectors of {columns} features");
        let axes = all / columns;
        self.linear(|x| B::matmul(x.reshape([rows * axes, columns]), weight.clone()).reshape([rows, axes * out]))
    }
}
