//! Products of vector features, directions and scalar features: of x `[rows, D C]`, v `[rows, D]` and f `[rows, C]`, row by
//! row, any two make one of the third kind. Derivatives of each are others of them.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

/// Which two make which third. D comes with `v`, C with `f`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Contraction {
    /// `x_dc = v_d f_c` of v and f.
    Outer,
    /// `x_dc = y_dc f_c` of y and f.
    Scale,
    /// `f_c = sum_d x_dc y_dc` of x and y.
    Inner {
        /// D.
        axes: usize,
    },
    /// `f_c = sum_d x_dc v_d` of x and v.
    Along,
    /// `v_d = sum_c x_dc f_c` of x and f.
    Across,
}

impl Contraction {
    /// All of them, in D dimensions.
    pub const fn all(axes: usize) -> [Self; 5] {
        [Self::Outer, Self::Scale, Self::Inner { axes }, Self::Along, Self::Across]
    }

    /// D and C of two factors `[rows, first]` and `[rows, second]`.
    ///
    /// # Panics
    /// If they do not go together.
    pub fn sizes(self, first: usize, second: usize) -> [usize; 2] {
        let split = |whole: usize, part: usize| {
            assert!(part > 0 && whole.is_multiple_of(part), "{self:?}: {whole} columns are no vectors of {part}");
            whole / part
        };
        match self {
            Self::Outer => [first, second],
            Self::Scale | Self::Across => [split(first, second), second],
            Self::Along => [second, split(first, second)],
            Self::Inner { axes } => {
                assert_eq!(first, second, "{self:?}: rows of different lengths");
                [axes, split(first, axes)]
            }
        }
    }

    /// Columns of the result.
    pub fn columns(self, [axes, features]: [usize; 2]) -> usize {
        match self {
            Self::Outer | Self::Scale => axes * features,
            Self::Inner { .. } | Self::Along => features,
            Self::Across => axes,
        }
    }

    /// What makes the gradients of the two factors, each of two of: the gradient of the result, and the other factor.
    /// `axes` is D.
    pub(super) fn gradients(self, axes: usize) -> [(Self, Order); 2] {
        match self {
            Self::Outer => [(Self::Across, Order::Gradient), (Self::Along, Order::Gradient)],
            Self::Scale => [(Self::Scale, Order::Gradient), (Self::Inner { axes }, Order::Gradient)],
            Self::Inner { .. } => [(Self::Scale, Order::Factor), (Self::Scale, Order::Factor)],
            Self::Along => [(Self::Outer, Order::Factor), (Self::Across, Order::Factor)],
            Self::Across => [(Self::Outer, Order::Gradient), (Self::Along, Order::Factor)],
        }
    }
}

/// Which one comes first: the gradient of the result, or the other factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    Gradient,
    Factor,
}

/// In plain tensor operations.
pub fn reference<B: Backend>(contraction: Contraction, a: Tensor<B, 2>, b: Tensor<B, 2>) -> Tensor<B, 2> {
    let ([rows, first], [_, second]) = (a.dims(), b.dims());
    let sizes @ [axes, features] = contraction.sizes(first, second);
    if rows == 0 {
        // CUDA launches nothing on tensors without elements.
        return Tensor::empty([0, contraction.columns(sizes)], &a.device());
    }
    let three =
        |tensor: Tensor<B, 2>, shape: [usize; 2]| -> Tensor<B, 3> { tensor.reshape([rows, shape[0], shape[1]]) };
    let found = match contraction {
        Contraction::Outer => three(a, [axes, 1]) * three(b, [1, features]),
        Contraction::Scale => three(a, sizes) * three(b, [1, features]),
        Contraction::Inner { .. } => three(a * b, sizes).sum_dim(1),
        Contraction::Along => (three(a, sizes) * three(b, [axes, 1])).sum_dim(1),
        Contraction::Across => (three(a, sizes) * three(b, [1, features])).sum_dim(2),
    };
    found.reshape([rows, contraction.columns(sizes)])
}
