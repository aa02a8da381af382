//! Muon (Jordan 2024, <https://kellerjordan.github.io/posts/muon>): steps of matrices in which no direction is preferred.
//!
//! With the gradient g of a matrix W `[p, q]`, its momentum m and the share beta of it that is kept,
//!
//! ```text
//! m = beta m + (1 - beta) g      d = orthogonal(beta m + (1 - beta) g)
//! W = (1 - rate decay) W - 0.2 sqrt(max(p, q)) rate d
//! ```
//!
//! where the orthogonal part of a matrix `U S V^T` is about `U V^T`: five steps of `X = 3.4445 X - 4.775 A X + 2.0315 A A X`,
//! `A = X X^T`, from X of norm one, which bring singular values above a thousandth to between 0.7 and 1.2. The factor makes
//! a step as large as one of AdamW, so that both go with the same rate and decay (Liu et al. 2025, arXiv:2502.16982).

pub(super) mod flex;
mod reference;

pub use self::reference::{descend, momentum, orthogonal, orthogonal_by};

/// One step of Muon.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MuonStep {
    /// Learning rate of this step.
    pub learning_rate: f64,
    /// Share of the momentum that is kept.
    pub momentum: f64,
    /// Decoupled weight decay.
    pub weight_decay: f64,
    /// What gradients are multiplied by first, as clipping asks.
    pub gradient_scale: f64,
}

impl MuonStep {
    /// What the direction of a matrix is multiplied by, and what the matrix is.
    fn rates(&self, [rows, columns]: [usize; 2]) -> [f64; 2] {
        let rate = 0.2 * (rows.max(columns) as f64).sqrt() * self.learning_rate;
        [rate, 1.0 - self.learning_rate * self.weight_decay]
    }
}

/// Factors of X, A X and A A X.
const FACTORS: [f64; 3] = [3.4445, -4.775, 2.0315];

const ITERATIONS: usize = 5;

/// How many matrices lie below and beside each other.
///
/// # Panics
/// If they do not fill the rows and columns.
fn grid([p, q]: [usize; 2], [rows, columns]: [usize; 2]) -> [usize; 2] {
    let fills = p > 0 && q > 0 && rows.is_multiple_of(p) && columns.is_multiple_of(q);
    assert!(fills, "orthogonal: {rows} rows and {columns} columns are no matrices of {p} and {q}");
    [rows / p, columns / q]
}

/// Added to the norm of a matrix.
const EPSILON: f64 = 1e-12;
