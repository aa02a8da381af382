//! Dual numbers: values with their derivatives along a direction.

use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};

/// A value and, where a direction changes it, its tangent.
#[derive(Debug, Clone)]
pub struct Dual<B: Backend, const R: usize = 2> {
    /// The value.
    pub value: Tensor<B, R>,
    /// Its tangent, in its shape; `None` means zero.
    pub tangent: Option<Tensor<B, R>>,
}

impl<B: Backend, const R: usize> Dual<B, R> {
    /// A value that no direction changes.
    pub fn new(value: Tensor<B, R>) -> Self {
        Self { value, tangent: None }
    }

    /// A linear function of it.
    #[must_use]
    pub fn map<const S: usize>(self, function: impl Fn(Tensor<B, R>) -> Tensor<B, S>) -> Dual<B, S> {
        Dual { tangent: self.tangent.map(&function), value: function(self.value) }
    }

    /// A bilinear function of two: `(a b)' = a' b + a b'`.
    #[must_use]
    pub fn times<const S: usize, const T: usize>(
        &self,
        other: &Dual<B, S>,
        product: impl Fn(Tensor<B, R>, Tensor<B, S>) -> Tensor<B, T>,
    ) -> Dual<B, T> {
        let of_first = self.tangent.clone().map(|tangent| product(tangent, other.value.clone()));
        let of_second = other.tangent.clone().map(|tangent| product(self.value.clone(), tangent));
        let tangent = match (of_first, of_second) {
            (Some(first), Some(second)) => Some(first + second),
            (first, second) => first.or(second),
        };
        Dual { value: product(self.value.clone(), other.value.clone()), tangent }
    }

    /// Value and tangent in each other's place, if there is a tangent.
    ///
    /// What a product of dual numbers makes of gradients: with gradients g of the value and g' of the tangent of a product
    /// linear in x, `g' + e g` times the derivative by x, in dual numbers of unit e, is the gradient of the tangent of x
    /// plus e times that of x.
    #[must_use]
    pub fn swapped(self) -> Self {
        match self.tangent {
            Some(tangent) => Self { value: tangent, tangent: Some(self.value) },
            None => self,
        }
    }
}

impl<A: AutodiffBackend, const R: usize> Dual<A, R> {
    /// The same numbers on the backend without autodiff.
    pub fn inner(self) -> Dual<A::InnerBackend, R> {
        Dual { value: self.value.inner(), tangent: self.tangent.map(Tensor::inner) }
    }

    /// The same numbers on the backend with autodiff.
    pub fn from_inner(inner: Dual<A::InnerBackend, R>) -> Self {
        Self { value: Tensor::from_inner(inner.value), tangent: inner.tangent.map(Tensor::from_inner) }
    }
}
