//! Elementwise operations, products with weights, sums over columns.
//!
//! Where two values meet, one of them may have a single column, which then counts for all columns of the other.

use std::ops::{Add, Mul, Neg, Sub};

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use super::Value;
use crate::kernels::{KernelBackend, reference};

impl<B: Backend> Add for Value<B> {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self::new(self.into_tensor() + other.into_tensor())
    }
}

impl<B: Backend> Sub for Value<B> {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self::new(self.into_tensor() - other.into_tensor())
    }
}

impl<B: Backend> Mul for Value<B> {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        Self::new(self.into_tensor() * other.into_tensor())
    }
}

impl<B: Backend> Neg for Value<B> {
    type Output = Self;

    fn neg(self) -> Self {
        Self::new(self.into_tensor().neg())
    }
}

impl<B: Backend> Value<B> {
    /// Each element plus a number.
    pub fn add_scalar(self, number: f64) -> Self {
        Self::new(self.into_tensor().add_scalar(number))
    }

    /// Each element times a number.
    pub fn mul_scalar(self, number: f64) -> Self {
        Self::new(self.into_tensor().mul_scalar(number))
    }

    /// Each element over a number.
    pub fn div_scalar(self, number: f64) -> Self {
        Self::new(self.into_tensor().div_scalar(number))
    }

    /// Each element over the other's.
    pub fn divided_by(self, other: Self) -> Self {
        Self::new(self.into_tensor() / other.into_tensor())
    }

    /// Each row plus the same numbers `[columns]`.
    pub fn add_row(self, bias: Tensor<B, 1>) -> Self {
        Self::new(self.into_tensor() + bias.unsqueeze())
    }

    /// Each row times the same numbers `[columns]`.
    pub fn mul_row(self, scale: Tensor<B, 1>) -> Self {
        Self::new(self.into_tensor() * scale.unsqueeze())
    }

    /// Each element squared.
    pub fn square(self) -> Self {
        let x = self.into_tensor();
        Self::new(x.clone() * x)
    }

    /// The sum of each row, `[rows, 1]`.
    pub fn sum_columns(self) -> Self {
        Self::new(self.into_tensor().sum_dim(1))
    }

    /// The root of each element.
    pub fn sqrt(self) -> Self {
        Self::new(self.into_tensor().sqrt())
    }

    /// One over each element.
    pub fn recip(self) -> Self {
        Self::new(self.into_tensor().recip())
    }

    /// The exponential of each element.
    pub fn exp(self) -> Self {
        Self::new(self.into_tensor().exp())
    }

    /// The natural logarithm of each element.
    pub fn log(self) -> Self {
        Self::new(self.into_tensor().log())
    }

    /// The sine of each element.
    pub fn sin(self) -> Self {
        Self::new(self.into_tensor().sin())
    }

    /// The cosine of each element.
    pub fn cos(self) -> Self {
        Self::new(self.into_tensor().cos())
    }

    /// Each element, or `most` where it is larger.
    pub fn clamp_max(self, most: f64) -> Self {
        Self::new(self.into_tensor().clamp_max(most))
    }

    /// Each element within `low` and `high`.
    pub fn clamp(self, low: f64, high: f64) -> Self {
        Self::new(self.into_tensor().clamp(low, high))
    }

    /// The hyperbolic tangent of each element.
    pub fn tanh(self) -> Self {
        Self::new(self.into_tensor().tanh())
    }

    /// `1 / (1 + exp(-x))` of each element.
    pub fn sigmoid(self) -> Self {
        Self::new(reference::sigmoid(self.into_tensor()))
    }

    /// Each element, or zero where it is negative.
    pub fn relu(self) -> Self {
        Self::new(burn::tensor::activation::relu(self.into_tensor()))
    }

    /// `ln((1 + exp(x)) / 2)` of each element, the shifted softplus of SchNet (Schütt et al. 2018,
    /// arXiv:1712.06113), without overflow: `max(x, 0) + ln(1 + exp(-|x|)) - ln 2`.
    pub fn shifted_softplus(self) -> Self {
        let x = self.into_tensor();
        let rest = x.clone().abs().neg().exp().log1p();
        Self::new(burn::tensor::activation::relu(x) + rest - std::f64::consts::LN_2)
    }
}

impl<B: KernelBackend> Value<B> {
    /// The product with weights `[columns, out]`.
    pub fn matmul(self, weight: Tensor<B, 2>) -> Self {
        Self::new(B::matmul(self.into_tensor(), weight))
    }

    /// `x sigmoid(x)` of each element.
    pub fn silu(self) -> Self {
        Self::new(B::silu(self.into_tensor()))
    }
}
