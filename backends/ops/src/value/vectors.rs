//! Rows of vector features: `[rows, D C]`, the C values along the first axis of space, then along the second, and
//! so on.

use burn::tensor::Tensor;

use super::Value;
use crate::kernels::KernelBackend;
use crate::kernels::contraction::Contraction;

impl<B: KernelBackend> Value<B> {
    /// Of vectors `[rows, D]` and features `[rows, C]` every product, `[rows, D C]`: vector features along one
    /// direction.
    pub fn outer(self, features: Self) -> Self {
        self.bilinear(features, |vectors, features| B::contract(Contraction::Outer, vectors, features))
    }

    /// Vector features `[rows, D C]`, each multiplied by a scalar feature `[rows, C]`, the same for all axes.
    pub fn scale_vectors(self, features: Self) -> Self {
        self.bilinear(features, |vectors, features| B::contract(Contraction::Scale, vectors, features))
    }

    /// The inner product of two rows of vector features in D dimensions, feature by feature: `[rows, C]`.
    pub fn dot_vectors(self, other: Self, axes: usize) -> Self {
        self.bilinear(other, |first, second| B::contract(Contraction::Inner { axes }, first, second))
    }

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
