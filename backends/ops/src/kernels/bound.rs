//! Tensor features kept within bounds: each channel over the root of one more than the mean square of its M components,
//!
//! ```text
//! y_mc = x_mc s_c,   s = (1 + a)^(-1/2),   a_c = sum_m x_mc^2 / M
//! ```
//!
//! With b = sum_m x_m x'_m / M its tangent is `y' = x' s - s^3 b x`. With gradients g and g' of y and y', those of x and x'
//! are, channel by channel, a dot being a sum over components,
//!
//! ```text
//! of x':  s g' - s^3 (g'.x) x / M
//! of x:   s g - s^3 (g.x + g'.x') x / M - s^3 (g'.x) x' / M + 3 s^5 b (g'.x) x / M - s^3 b g'
//! ```

pub(super) mod autodiff;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
pub(super) mod cube;
pub(super) mod flex;
mod reference;

pub use self::reference::{bound, bound_backward};
