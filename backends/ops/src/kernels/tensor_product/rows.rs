//! The terms of a product in the order in which a row of it is computed: by component of what is looked for, then by that
//! of the first factor, which so is multiplied with once.

use super::{Slot, Term};

/// Terms with a component of the result and of the first factor in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Group {
    /// Component of the first of the three factors.
    pub(super) first: u32,
    /// Number of terms.
    pub(super) terms: u32,
}

/// Terms with a component of the result in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    /// Component of the result.
    pub(super) out: u32,
    /// Number of groups.
    pub(super) groups: u32,
}

/// The terms of a product, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct Rows {
    pub(super) runs: Vec<Run>,
    pub(super) groups: Vec<Group>,
    /// Components of the second and third factor, and the coefficient.
    pub(super) terms: Vec<(u32, u32, f32)>,
}

impl Rows {
    /// Where one of the four is looked for.
    pub(super) fn new(terms: &[Term], missing: Slot) -> Self {
        let others = missing.others().map(|slot| slot as usize);
        let place = |term: &Term| (term.at[missing as usize], others.map(|slot| term.at[slot]));
        let mut sorted = terms.to_vec();
        sorted.sort_by_key(place);
        let mut rows = Self::default();
        for run in sorted.chunk_by(|a, b| place(a).0 == place(b).0) {
            let before = rows.groups.len();
            for group in run.chunk_by(|a, b| place(a).1[0] == place(b).1[0]) {
                rows.groups.push(Group { first: place(&group[0]).1[0] as u32, terms: group.len() as u32 });
                rows.terms.extend(group.iter().map(|term| {
                    let [_, second, third] = place(term).1;
                    (second as u32, third as u32, term.factor as f32)
                }));
            }
            rows.runs.push(Run { out: place(&run[0]).0 as u32, groups: (rows.groups.len() - before) as u32 });
        }
        rows
    }
}
