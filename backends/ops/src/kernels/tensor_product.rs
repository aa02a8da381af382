//! Products of tensor features, channel by channel: what models with vectors and tensors of higher degree do on nodes.
//!
//! Rows of features have their components one after the other, each of C channels. With weights w, factors x and y, and a
//! table of terms k, each with a coefficient, a path p, and a component a of x, b of y, o of the result,
//!
//! ```text
//! out[o, c] = sum_k coefficient_k w[p_k, c] x[a_k, c] y[b_k, c]
//! ```
//!
//! The sum is linear in each of w, x and y; times the gradient of the result it is a form of four, and the gradient of
//! each of the four is the same sum with that one left out. So one operation, told what is left out, is its own
//! derivative, to any order.

pub(super) mod autodiff;
#[cfg(any(feature = "wgpu", feature = "cuda"))]
pub(super) mod cube;
pub(super) mod flex;
mod pairs;
mod reference;
mod rows;

use burn::tensor::backend::Backend;

pub(crate) use self::pairs::Pairs;
pub use self::reference::tensor_product;
use self::rows::Rows;
use crate::dual::Dual;

/// One of the four that a product has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Slot {
    /// w, a weight for each path and channel.
    Path,
    /// x.
    First,
    /// y.
    Second,
    /// The result.
    Out,
}

impl Slot {
    /// All, in the order of [`Term::at`].
    pub const ALL: [Self; 4] = [Self::Path, Self::First, Self::Second, Self::Out];

    /// The other three, in order.
    pub fn others(self) -> [Self; 3] {
        match self {
            Self::Path => [Self::First, Self::Second, Self::Out],
            Self::First => [Self::Path, Self::Second, Self::Out],
            Self::Second => [Self::Path, Self::First, Self::Out],
            Self::Out => [Self::Path, Self::First, Self::Second],
        }
    }
}

/// A coefficient, and where it stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Term {
    /// Path, component of the first factor, of the second, of the result.
    pub at: [usize; 4],
    /// The coefficient.
    pub factor: f64,
}

/// The terms of a product.
#[derive(Debug, Clone)]
pub struct Table {
    sizes: [usize; 4],
    terms: Vec<Term>,
    rows: [Rows; 4],
    pairs: Pairs,
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        (self.sizes, &self.terms) == (other.sizes, &other.terms)
    }
}

impl Table {
    /// Of terms with so many paths, components of either factor, and components of the result.
    ///
    /// # Panics
    /// If a term stands beyond them.
    pub fn new(sizes: [usize; 4], terms: Vec<Term>) -> Self {
        for Term { at, .. } in &terms {
            let within = at.iter().zip(&sizes).all(|(at, size)| at < size);
            assert!(within, "Table: a term at {at:?} of {sizes:?}");
        }
        let rows = Slot::ALL.map(|missing| Rows::new(&terms, missing));
        Self { sizes, rows, pairs: Pairs::new(&terms), terms }
    }

    /// Paths, or components.
    pub fn size(&self, slot: Slot) -> usize {
        self.sizes[slot as usize]
    }

    /// All terms.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Whether every component of one of the four has terms.
    pub(crate) fn is_full(&self, missing: Slot) -> bool {
        self.rows(missing).runs.len() == self.size(missing)
    }

    /// The terms in the order in which a row is computed, where one of the four is to be found.
    fn rows(&self, missing: Slot) -> &Rows {
        &self.rows[missing as usize]
    }

    /// The terms in the order in which an edge uses them.
    pub(crate) fn pairs(&self) -> &Pairs {
        &self.pairs
    }

    /// Rows, and channels C, of the factors, which are those slots that are not missing, in order.
    ///
    /// # Panics
    /// If shapes do not fit.
    pub(crate) fn channels<B: Backend>(&self, missing: Slot, factors: &[Dual<B>; 3]) -> [usize; 2] {
        let [first, ..] = missing.others();
        let [rows, columns] = factors[0].value.dims();
        let channels = columns / self.size(first).max(1);
        for (slot, factor) in missing.others().into_iter().zip(factors) {
            let expected = [rows, self.size(slot) * channels];
            assert_eq!(factor.value.dims(), expected, "tensor_product: shape of {slot:?}, expected {expected:?}");
            if let Some(tangent) = &factor.tangent {
                assert_eq!(tangent.dims(), expected, "tensor_product: shape of a tangent, expected {expected:?}");
            }
        }
        [rows, channels]
    }
}
