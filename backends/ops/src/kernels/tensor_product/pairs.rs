//! The terms of a product in the order in which an edge uses them: by path and by component of the second factor, and of
//! these by component of the result. The first factor, which has no channels, then makes one number for each.

use super::{Slot, Term};

/// Terms with path and component of the second factor in common.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PairGroup {
    pub(crate) path: u32,
    pub(crate) second: u32,
    /// Components of the result that they make.
    pub(crate) outs: u32,
}

/// The terms, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pairs {
    pub(crate) groups: Vec<PairGroup>,
    /// A component of the result, and how many terms make its factor.
    pub(crate) outs: Vec<(u32, u32)>,
    /// Components of the first factor, and coefficients.
    pub(crate) terms: Vec<(u32, f32)>,
}

impl Pairs {
    pub(crate) fn new(terms: &[Term]) -> Self {
        let [path, first, second, out] = Slot::ALL.map(|slot| slot as usize);
        let mut sorted = terms.to_vec();
        sorted.sort_by_key(|term| [path, second, out, first].map(|slot| term.at[slot]));
        let mut pairs = Self::default();
        for group in sorted.chunk_by(|a, b| a.at[path] == b.at[path] && a.at[second] == b.at[second]) {
            let before = pairs.outs.len();
            for same in group.chunk_by(|a, b| a.at[out] == b.at[out]) {
                pairs.outs.push((same[0].at[out] as u32, same.len() as u32));
                pairs.terms.extend(same.iter().map(|term| (term.at[first] as u32, term.factor as f32)));
            }
            let [path, second] = [path, second].map(|slot| group[0].at[slot] as u32);
            pairs.groups.push(PairGroup { path, second, outs: (pairs.outs.len() - before) as u32 });
        }
        pairs
    }
}
