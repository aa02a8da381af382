//! How tangents go through an operation: once for what is linear, once for what is not.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use super::Value;

impl<B: Backend> Value<B> {
    /// A linear function: the tangent goes the same way.
    pub(super) fn linear(self, function: impl Fn(Tensor<B, 2>) -> Tensor<B, 2>) -> Self {
        Self { tangent: self.tangent.map(&function), primal: function(self.primal) }
    }

    /// A function of each element. `slope` gets what it was made of, what was made, and the tangent of what it was made
    /// of, and returns the tangent of what was made: `y' = f'(x) x'`.
    pub(super) fn elementwise(
        self,
        function: impl FnOnce(Tensor<B, 2>) -> Tensor<B, 2>,
        slope: impl FnOnce(Tensor<B, 2>, Tensor<B, 2>, Tensor<B, 2>) -> Tensor<B, 2>,
    ) -> Self {
        let Self { primal: x, tangent } = self;
        let Some(tangent) = tangent else { return Self::new(function(x)) };
        let y = function(x.clone());
        Self { tangent: Some(slope(x, y.clone(), tangent)), primal: y }
    }

    /// A bilinear function of two values: `(a b)' = a' b + a b'`.
    pub(super) fn bilinear(self, other: Self, product: impl Fn(Tensor<B, 2>, Tensor<B, 2>) -> Tensor<B, 2>) -> Self {
        let (Self { primal: a, tangent: of_a }, Self { primal: b, tangent: of_b }) = (self, other);
        let of_a = of_a.map(|tangent| product(tangent, b.clone()));
        let of_b = of_b.map(|tangent| product(a.clone(), tangent));
        let tangent = match (of_a, of_b) {
            (Some(first), Some(second)) => Some(first + second),
            (first, second) => first.or(second),
        };
        Self { primal: product(a, b), tangent }
    }

    /// A sum or difference, of tangents as of values. A tangent that is alone takes the shape of the result.
    pub(super) fn sum(
        self,
        other: Self,
        add: impl Fn(Tensor<B, 2>, Tensor<B, 2>) -> Tensor<B, 2>,
        negated: bool,
    ) -> Self {
        let (Self { primal: a, tangent: of_a }, Self { primal: b, tangent: of_b }) = (self, other);
        let primal = add(a, b);
        let shape = primal.dims();
        let whole = |tangent: Tensor<B, 2>| if tangent.dims() == shape { tangent } else { tangent.expand(shape) };
        let tangent = match (of_a, of_b) {
            (Some(first), Some(second)) => Some(add(first, second)),
            (Some(first), None) => Some(whole(first)),
            (None, Some(second)) => Some(whole(if negated { second.neg() } else { second })),
            (None, None) => None,
        };
        Self { primal, tangent }
    }

    /// Values one after the other along an axis; where one has a tangent, those of the others are zeros.
    pub(super) fn cat(values: Vec<Self>, axis: usize) -> Self {
        let moved = values.iter().any(|value| value.tangent.is_some());
        let (mut primals, mut tangents) = (Vec::with_capacity(values.len()), Vec::new());
        for Self { primal, tangent } in values {
            if moved {
                tangents.push(tangent.unwrap_or_else(|| primal.zeros_like()));
            }
            primals.push(primal);
        }
        Self { tangent: moved.then(|| Tensor::cat(tangents, axis)), primal: Tensor::cat(primals, axis) }
    }
}
