//! Elementwise operations, products with weights, sums over columns.
//!
//! Where two values meet, one of them may have a single column or row, which then counts for all of the other.

use std::ops::{Add, Mul, Neg, Sub};

use burn::tensor::backend::Backend;
use burn::tensor::{DType, Tensor};

use super::Value;
use crate::kernels::{KernelBackend, reference};

impl<B: Backend> Add for Value<B> {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.sum(other, |a, b| a + b, false)
    }
}

impl<B: Backend> Sub for Value<B> {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        self.sum(other, |a, b| a - b, true)
    }
}

impl<B: Backend> Mul for Value<B> {
    type Output = Self;

    fn mul(self, other: Self) -> Self {
        self.bilinear(other, |a, b| a * b)
    }
}

impl<B: Backend> Neg for Value<B> {
    type Output = Self;

    fn neg(self) -> Self {
        self.linear(Tensor::neg)
    }
}

impl<B: Backend> Value<B> {
    /// Each element plus a number.
    pub fn add_scalar(self, number: f64) -> Self {
        self.elementwise(|x| x.add_scalar(number), |_, _, tangent| tangent)
    }

    /// Each element times a number.
    pub fn mul_scalar(self, number: f64) -> Self {
        self.linear(|x| x.mul_scalar(number))
    }

    /// Each element over a number.
    pub fn div_scalar(self, number: f64) -> Self {
        // The gradient of Burn's own goes through single precision.
        self.linear(|x| if x.dtype() == DType::F64 { x.mul_scalar(1.0 / number) } else { x.div_scalar(number) })
    }

    /// Each element over the other's: `(a / b)' = (a' - (a / b) b') / b`.
    pub fn divided_by(self, other: Self) -> Self {
        let (Self { primal: a, tangent: of_a }, Self { primal: b, tangent: of_b }) = (self, other);
        let Some(of_b) = of_b else { return Self { tangent: of_a.map(|of_a| of_a / b.clone()), primal: a / b } };
        let quotient = a / b.clone();
        let taken = quotient.clone() * of_b;
        let change = match of_a {
            Some(of_a) => of_a - taken,
            None => taken.neg(),
        };
        Self { primal: quotient, tangent: Some(change / b) }
    }

    /// Each row plus the same numbers `[columns]`.
    pub fn add_row(self, bias: Tensor<B, 1>) -> Self {
        self.elementwise(|x| x + bias.unsqueeze(), |_, _, tangent| tangent)
    }

    /// Each row times the same numbers `[columns]`.
    pub fn mul_row(self, scale: Tensor<B, 1>) -> Self {
        self.linear(|x| x * scale.clone().unsqueeze())
    }

    /// Each element squared: `2 x x'`.
    pub fn square(self) -> Self {
        self.elementwise(|x| x.clone() * x, |x, _, tangent| (x * tangent).mul_scalar(2.0))
    }

    /// The sum of each row, `[rows, 1]`.
    pub fn sum_columns(self) -> Self {
        self.linear(|x| x.sum_dim(1))
    }

    /// The root of each element: `x' / (2 y)`.
    pub fn sqrt(self) -> Self {
        self.elementwise(Tensor::sqrt, |_, y, tangent| tangent / y.mul_scalar(2.0))
    }

    /// One over each element: `-y^2 x'`.
    pub fn recip(self) -> Self {
        self.elementwise(Tensor::recip, |_, y, tangent| (y.clone() * y * tangent).neg())
    }

    /// The exponential of each element: `y x'`.
    pub fn exp(self) -> Self {
        self.elementwise(Tensor::exp, |_, y, tangent| y * tangent)
    }

    /// The natural logarithm of each element: `x' / x`.
    pub fn log(self) -> Self {
        self.elementwise(Tensor::log, |x, _, tangent| tangent / x)
    }

    /// The sine of each element: `cos(x) x'`.
    pub fn sin(self) -> Self {
        self.elementwise(Tensor::sin, |x, _, tangent| x.cos() * tangent)
    }

    /// The cosine of each element: `-sin(x) x'`.
    pub fn cos(self) -> Self {
        self.elementwise(Tensor::cos, |x, _, tangent| (x.sin() * tangent).neg())
    }

    /// Each element, or `most` where it is larger, and then with a tangent of zero.
    pub fn clamp_max(self, most: f64) -> Self {
        self.elementwise(|x| x.clamp_max(most), |x, _, tangent| tangent.mask_fill(x.greater_elem(most), 0.0))
    }

    /// Each element within `low` and `high`; beyond them the tangent is zero.
    pub fn clamp(self, low: f64, high: f64) -> Self {
        self.elementwise(
            |x| x.clamp(low, high),
            |x, _, tangent| {
                let inside = tangent.mask_fill(x.clone().greater_elem(high), 0.0);
                inside.mask_fill(x.lower_elem(low), 0.0)
            },
        )
    }

    /// The hyperbolic tangent of each element: `(1 - y^2) x'`.
    pub fn tanh(self) -> Self {
        self.elementwise(Tensor::tanh, |_, y, tangent| tangent.clone() - y.clone() * y * tangent)
    }

    /// `1 / (1 + exp(-x))` of each element: `(y - y^2) x'`.
    pub fn sigmoid(self) -> Self {
        self.elementwise(reference::sigmoid, |_, y, tangent| (y.clone() - y.clone() * y) * tangent)
    }

    /// Each element, or zero where it is negative, and then with a tangent of zero.
    pub fn relu(self) -> Self {
        self.elementwise(burn::tensor::activation::relu, |x, _, tangent| {
            tangent.mask_fill(x.lower_equal_elem(0.0), 0.0)
        })
    }

    /// `ln((1 + exp(x)) / 2)` of each element, the shifted softplus of SchNet (Schütt et al. 2018,
    /// arXiv:1712.06113), without overflow: `max(x, 0) + ln(1 + exp(-|x|)) - ln 2`. Its tangent is `sigmoid(x) x'`.
    pub fn shifted_softplus(self) -> Self {
        let function = |x: Tensor<B, 2>| {
            let rest = x.clone().abs().neg().exp().log1p();
            burn::tensor::activation::relu(x) + rest - std::f64::consts::LN_2
        };
        self.elementwise(function, |x, _, tangent| reference::sigmoid(x) * tangent)
    }
}

impl<B: KernelBackend> Value<B> {
    /// The product with weights `[columns, out]`.
    pub fn matmul(self, weight: Tensor<B, 2>) -> Self {
        self.linear(|x| B::matmul(x, weight.clone()))
    }

    /// `x sigmoid(x)` of each element.
    pub fn silu(self) -> Self {
        self.elementwise(B::silu, |x, _, tangent| B::silu_backward(x, tangent))
    }
}
