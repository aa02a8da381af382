//! Distances, and what keeps them from zero.

use burn::tensor::backend::Backend;
use isograd_ops::value::Value;

/// What is added to squared distances (angstrom^2): atoms at the same place count as 0.01 angstrom
/// apart. A direction then stays finite, and so does what rounding makes of it: two equal atoms that
/// coordinate updates should move alike end up 1e-8 angstrom apart in single precision, and that must
/// not become a force. Forces that are gradients see the slope of a direction, which at that place is
/// one over this distance.
pub const SMALLEST_SQUARE: f64 = 1e-4;

/// The distance of each edge, `[E, 1]` from its square `[E, 1]`.
pub fn distance<B: Backend>(squared: Value<B>) -> Value<B> {
    squared.add_scalar(SMALLEST_SQUARE).sqrt()
}
