//! The order of structures in an epoch, and how they are packed into batches.
//!
//! Both are pure functions of the seed and the epoch, so that the sampler's whole state is a pair
//! of numbers (epoch, batch) in the snapshot.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use isograd_structure::Structure;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// The most that one batch may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Graphs.
    pub graphs: usize,
    /// Atoms of all graphs together.
    pub atoms: usize,
    /// Edges of all graphs together.
    pub edges: usize,
}

/// The size of one graph.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sizes {
    /// Atoms.
    pub atoms: usize,
    /// Edges.
    pub edges: usize,
}

/// Where a structure was read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// The file, or what stands for it.
    pub file: Arc<str>,
    /// The position there, from 0.
    pub frame: usize,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: frame {}", self.file, self.frame)
    }
}

/// A structure whose neighbours have been searched for.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// The structure.
    pub structure: Structure,
    /// Where it is from.
    pub place: Place,
    /// Its atoms and edges.
    pub sizes: Sizes,
}

impl AsRef<Structure> for Measured {
    fn as_ref(&self) -> &Structure {
        &self.structure
    }
}

impl Budget {
    /// Whether a single graph is over the budget on its own.
    pub fn is_exceeded_by(&self, sizes: Sizes) -> bool {
        sizes.atoms > self.atoms || sizes.edges > self.edges
    }
}

/// A permutation of `0..count`, the same for the same seed and epoch on every machine.
pub fn epoch_order(seed: u64, epoch: usize, count: usize) -> Vec<usize> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    rng.set_stream(epoch as u64);
    let mut order: Vec<usize> = (0..count).collect();
    order.shuffle(&mut rng);
    order
}

/// Batches of an epoch: the order in which samples are met, and where each batch ends.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batches {
    order: Vec<usize>,
    ends: Vec<usize>,
}

impl Batches {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The members of a batch, if there is one of this number.
    pub fn get(&self, batch: usize) -> Option<&[usize]> {
        self.get_run(batch..batch + 1)
    }

    /// The members of some batches, one after the other, if there are batches of all these numbers.
    pub fn get_run(&self, batches: Range<usize>) -> Option<&[usize]> {
        let end = *self.ends.get(batches.end.checked_sub(1)?)?;
        let start = batches.start.checked_sub(1).map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.order.get(start..end)
    }

    /// The members of each.
    pub fn iter(&self) -> impl Iterator<Item = &[usize]> {
        (0..self.len()).filter_map(|batch| self.get(batch))
    }
}

/// Cuts `order` into batches within the budget, without changing the order. A graph that is over
/// the budget on its own becomes a batch of its own.
pub fn pack(order: Vec<usize>, sizes: &[Sizes], budget: Budget) -> Batches {
    let mut ends = Vec::new();
    let mut start = 0;
    let mut filled = Sizes::default();
    for (place, &index) in order.iter().enumerate() {
        let sum = Sizes { atoms: filled.atoms + sizes[index].atoms, edges: filled.edges + sizes[index].edges };
        if place > start && (place - start == budget.graphs || budget.is_exceeded_by(sum)) {
            ends.push(place);
            start = place;
            filled = sizes[index];
        } else {
            filled = sum;
        }
    }
    if !order.is_empty() {
        ends.push(order.len());
    }
    Batches { order, ends }
}

/// Cuts a batch into at most `parts` runs of about equal numbers of edges, in order.
pub fn cut(members: &[usize], sizes: &[Sizes], parts: usize) -> Vec<Vec<usize>> {
    // Atoms count too, so that graphs without edges are spread as well.
    let work = |&index: &usize| sizes[index].edges + sizes[index].atoms;
    let total: usize = members.iter().map(work).sum();
    let mut runs: Vec<Vec<usize>> = vec![Vec::new(); parts.max(1)];
    let mut done = 0;
    for index in members {
        // A graph belongs to the part in which its middle lies.
        let middle = done + work(index) / 2;
        let run = (middle * runs.len() / total.max(1)).min(runs.len() - 1);
        runs[run].push(*index);
        done += work(index);
    }
    runs.retain(|run| !run.is_empty());
    runs
}

/// Gives each graph of a batch to one of `ranks` ranks, about equal numbers of edges and atoms to each: the
/// largest first, to the rank with the least so far. Each rank keeps the order of the batch.
pub fn share(members: &[usize], sizes: &[Sizes], ranks: usize) -> Vec<Vec<usize>> {
    let work = |index: usize| sizes[index].edges + sizes[index].atoms;
    let mut largest_first: Vec<usize> = (0..members.len()).collect();
    largest_first.sort_by_key(|&place| std::cmp::Reverse(work(members[place])));
    let mut given = vec![(0, Vec::new()); ranks.max(1)];
    for place in largest_first {
        if let Some((load, places)) = given.iter_mut().min_by_key(|(load, _)| *load) {
            *load += work(members[place]);
            places.push(place);
        }
    }
    let ordered = |(_, mut places): (usize, Vec<usize>)| {
        places.sort_unstable();
        places.into_iter().map(|place| members[place]).collect()
    };
    given.into_iter().map(ordered).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn an_epoch_is_a_permutation_that_depends_on_seed_and_epoch() {
        let order = epoch_order(3, 7, 100);
        let mut sorted = order.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, (0..100).collect::<Vec<_>>());
        assert_eq!(order, epoch_order(3, 7, 100));
        assert_ne!(order, epoch_order(3, 8, 100));
        assert_ne!(order, epoch_order(4, 7, 100));
    }

    #[test]
    fn a_batch_is_cut_into_even_runs() {
        let sizes: Vec<Sizes> = (0..12).map(|_| Sizes { atoms: 5, edges: 40 }).collect();
        let order: Vec<usize> = (0..12).rev().collect();
        let runs = cut(&order, &sizes, 3);
        assert_eq!(runs.iter().map(Vec::len).collect::<Vec<_>>(), [4, 4, 4]);
        assert_eq!(runs.concat(), order);
        assert_eq!(cut(&[7], &sizes, 4), [[7]]);
    }

    proptest! {
        #[test]
        fn every_graph_goes_to_one_rank_and_loads_are_even(
            sizes in prop::collection::vec((1usize..40, 0usize..300), 0..60), ranks in 1usize..9,
        ) {
            let sizes: Vec<Sizes> = sizes.into_iter().map(|(atoms, edges)| Sizes { atoms, edges }).collect();
            let members: Vec<usize> = (0..sizes.len()).rev().collect();
            let shares = share(&members, &sizes, ranks);
            prop_assert_eq!(shares.len(), ranks);
            prop_assert!(shares.iter().all(|share| share.is_sorted_by(|a, b| a > b)));
            let mut all = shares.concat();
            all.sort_unstable_by(|a, b| b.cmp(a));
            prop_assert_eq!(all, members);
            let work = |&k: &usize| sizes[k].edges + sizes[k].atoms;
            let loads: Vec<usize> = shares.iter().map(|share| share.iter().map(work).sum()).collect();
            let largest = (0..sizes.len()).map(|k| work(&k)).max().unwrap_or(0);
            prop_assert!(loads.iter().max().unwrap() - loads.iter().min().unwrap() <= largest);
        }

        #[test]
        fn batches_keep_the_order_and_the_budget(
            sizes in prop::collection::vec((1usize..40, 0usize..300), 0..60),
            graphs in 1usize..6, atoms in 1usize..100, edges in 1usize..600,
        ) {
            let sizes: Vec<Sizes> = sizes.into_iter().map(|(atoms, edges)| Sizes { atoms, edges }).collect();
            let order: Vec<usize> = (0..sizes.len()).rev().collect();
            let budget = Budget { graphs, atoms, edges };
            let packed = pack(order.clone(), &sizes, budget);
            let batches: Vec<&[usize]> = packed.iter().collect();
            prop_assert_eq!(batches.concat(), order.clone());
            prop_assert_eq!((packed.len(), packed.is_empty()), (batches.len(), order.is_empty()));
            prop_assert_eq!(packed.get(batches.len()), None);
            if batches.len() > 2 {
                prop_assert_eq!(packed.get_run(1..3).unwrap(), batches[1..3].concat());
            }
            for batch in &batches {
                let total = batch.iter().fold(Sizes::default(), |sum, &k| Sizes {
                    atoms: sum.atoms + sizes[k].atoms,
                    edges: sum.edges + sizes[k].edges,
                });
                prop_assert!(batch.len() <= graphs);
                prop_assert!(batch.len() == 1 || !budget.is_exceeded_by(total));
            }
            // Greedy: no batch could have taken the first graph of the next one.
            for pair in batches.windows(2) {
                let mut total = sizes[pair[1][0]];
                for &k in pair[0] {
                    total.atoms += sizes[k].atoms;
                    total.edges += sizes[k].edges;
                }
                prop_assert!(pair[0].len() == graphs || budget.is_exceeded_by(total));
            }
        }
    }
}
