//! Linear maps of the channels of tensor features: a matrix for each degree, the same for its components.
//!
//! Rows of features have their components one after the other, each of C channels in, and of K channels out. With one
//! matrix below the other, W `[matrices C, K]`, and d the matrix of a component,
//!
//! ```text
//! out[m, k] = sum_c x[m, c] W[d_m, c, k]
//! ```
//!
//! Times the gradient of the result that is a form linear in each of three, and the gradient of each is the form with that
//! one left out. So one operation, told what is left out, is its own derivative, to any order.

pub(super) mod autodiff;
pub(super) mod flex;
mod reference;

use std::ops::Range;

pub use self::reference::mix;

/// One of the three that a map has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// x, `[rows, components C]`.
    Features,
    /// W, `[matrices C, K]`.
    Weights,
    /// The result, `[rows, components K]`.
    Result,
}

impl Role {
    /// All, in their order.
    pub const ALL: [Self; 3] = [Self::Features, Self::Weights, Self::Result];

    /// The other two, in order.
    pub fn others(self) -> [Self; 2] {
        match self {
            Self::Features => [Self::Weights, Self::Result],
            Self::Weights => [Self::Features, Self::Result],
            Self::Result => [Self::Features, Self::Weights],
        }
    }
}

/// Which matrix each component is multiplied by, and how many channels there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mixing {
    /// For each matrix its components.
    matrices: Vec<Range<usize>>,
    channels: [usize; 2],
}

impl Mixing {
    /// For each matrix its number of components, and channels in and out.
    ///
    /// # Panics
    /// If there are no channels.
    pub fn new(components: &[usize], channels: [usize; 2]) -> Self {
        assert!(channels.iter().all(|&channels| channels > 0), "Mixing: no channels");
        let mut start = 0;
        let mut next = |&count: &usize| {
            start += count;
            start - count..start
        };
        Self { matrices: components.iter().map(&mut next).collect(), channels }
    }

    /// For each matrix the components that it maps.
    pub fn matrices(&self) -> &[Range<usize>] {
        &self.matrices
    }

    /// Channels in and out.
    pub fn channels(&self) -> [usize; 2] {
        self.channels
    }

    /// Number of components.
    pub fn components(&self) -> usize {
        self.matrices.last().map_or(0, |last| last.end)
    }

    /// Rows and columns of one of the three, where features have so many rows.
    pub fn shape(&self, role: Role, rows: usize) -> [usize; 2] {
        let [channels_in, channels_out] = self.channels;
        match role {
            Role::Features => [rows, self.components() * channels_in],
            Role::Weights => [self.matrices.len() * channels_in, channels_out],
            Role::Result => [rows, self.components() * channels_out],
        }
    }

    /// Rows of features, where two factors have these shapes.
    ///
    /// # Panics
    /// If the shapes do not fit.
    pub fn rows(&self, missing: Role, factors: [[usize; 2]; 2]) -> usize {
        let others = missing.others();
        let rows = if others[0] == Role::Weights { factors[1][0] } else { factors[0][0] };
        for (role, shape) in others.into_iter().zip(factors) {
            assert_eq!(shape, self.shape(role, rows), "Mixing: the shape of {role:?}");
        }
        rows
    }
}
