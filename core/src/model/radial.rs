//! Edge features and envelope from squared distances.

use std::f64::consts::PI;

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;

use super::{Basis, Envelope};

/// What is added to squared distances (angstrom^2): atoms at the same place count as 1e-3 angstrom
/// apart. A direction then stays finite, and so does what rounding makes of it: two equal atoms that
/// coordinate updates should move alike end up 1e-8 angstrom apart in single precision, and that must
/// not become a force.
const SMALLEST_SQUARE: f64 = 1e-6;

/// The distance of each edge, `[E, 1]` from `[E, 1]`.
pub(super) fn distance<B: Backend>(squared: Tensor<B, 2>) -> Tensor<B, 2> {
    (squared + SMALLEST_SQUARE).sqrt()
}

/// Edge features `[E, K]` from squared distances `[E, 1]`.
pub(super) fn features<B: Backend>(basis: Basis, cutoff: f64, squared: Tensor<B, 2>) -> Tensor<B, 2> {
    match basis {
        Basis::SquaredDistance => squared.div_scalar(cutoff * cutoff),
        Basis::Bessel { size } => {
            let r = distance(squared);
            let numbers: Vec<f32> = (1..=size).map(|n| (n as f64 * PI / cutoff) as f32).collect();
            let frequencies = crate::graph::floats::<B, 2>(&numbers, [1, size], &r.device());
            (r.clone() * frequencies).sin().mul_scalar((2.0 / cutoff).sqrt()) / r
        }
    }
}

/// What messages are multiplied by, `[E, 1]` from squared distances `[E, 1]`; `None` means one.
pub(super) fn envelope<B: Backend>(kind: Envelope, cutoff: f64, squared: Tensor<B, 2>) -> Option<Tensor<B, 2>> {
    // Moved coordinates can leave the cutoff; beyond it the envelope stays zero.
    let d = || distance(squared).div_scalar(cutoff).clamp_max(1.0);
    match kind {
        Envelope::None => None,
        Envelope::Cosine => Some((d().mul_scalar(PI).cos() + 1.0).mul_scalar(0.5)),
        Envelope::Polynomial => {
            let d = d();
            let d2 = d.clone() * d.clone();
            let d6 = d2.clone() * d2.clone() * d2.clone();
            let tail = d2.mul_scalar(-21.0) + d.mul_scalar(48.0) - 28.0;
            Some(d6 * tail + 1.0)
        }
    }
}
