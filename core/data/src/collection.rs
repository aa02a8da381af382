//! Graphs that training picks from, wherever they are: structures in memory, or some of the graphs of a store. What the index
//! of a store knows is not read from the graphs.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;

use isograd_structure::{Element, Structure};

use crate::audit::{Fault, Known, Limits, Summary};
use crate::split::{held_out, without_key};
use crate::store::{Entry, Labels, Store};
use crate::{Error, Measured, Place, Result, Sizes, SplitBy, epoch_order, split};

/// A stream number of the order's generator that neither an epoch nor the split reaches.
const FRACTION_STREAM: usize = usize::MAX - 1;

/// Graphs in an order.
pub enum Collection {
    /// Structures in memory.
    Memory(Vec<Measured>),
    /// Graphs of a store.
    Stored(Stored),
}

/// Some of the graphs of a store.
#[derive(Clone)]
pub struct Stored {
    store: Arc<Store>,
    /// The numbers of the graphs.
    graphs: Vec<u32>,
    /// Position of the cutoff that edges are counted within.
    cutoff: usize,
    /// Elements of the atoms of each composition.
    elements: Arc<Vec<Vec<Element>>>,
}

impl Stored {
    /// These graphs of a store, with edges within one of its cutoffs, by its position.
    pub fn new(store: Arc<Store>, graphs: Vec<u32>, cutoff: usize) -> Self {
        let atoms = |own: &[(Element, u32)]| {
            own.iter().flat_map(|(element, count)| std::iter::repeat_n(*element, *count as usize)).collect()
        };
        let elements = store.compositions().iter().map(|own| atoms(&own.0)).collect();
        Self { store, graphs, cutoff, elements: Arc::new(elements) }
    }

    /// The store.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }

    /// The numbers of all of them in the store.
    pub(crate) fn graphs(&self) -> &[u32] {
        &self.graphs
    }

    /// The number of a graph in the store.
    pub fn graph(&self, index: usize) -> usize {
        self.graphs[index] as usize
    }

    /// Elements of a graph's atoms, in the order of atomic numbers.
    pub fn elements(&self, index: usize) -> &[Element] {
        &self.elements[self.store.index().composition(self.graph(index)) as usize]
    }

    fn with_graphs(&self, graphs: Vec<u32>) -> Self {
        Self { graphs, ..self.clone() }
    }

    /// All graphs of a store that are trusted within `limits`, with edges within `cutoff` angstrom, and what was found.
    ///
    /// # Errors
    /// [`Error::Path`] where the store has no numbers of such edges.
    pub fn survey(store: Arc<Store>, limits: &Limits, cutoff: f64) -> Result<(Self, Summary)> {
        let header = store.header();
        let place = header.cutoffs.iter().position(|own| (own - cutoff).abs() < 1e-9).ok_or_else(|| {
            let message = format!(
                "has numbers of edges within {:?} angstrom, not {cutoff}; pack into another folder with --cutoff {cutoff}",
                header.cutoffs
            );
            Error::Path { path: store.folder().to_owned(), message }
        })?;
        let mut summary = Summary::default();
        let mut graphs = Vec::new();
        for graph in 0..store.len() {
            let known = known(&store.index().entry(graph), limits);
            let composition = &store.compositions()[store.index().composition(graph) as usize].0;
            let elements = composition.iter().map(|&(element, count)| (element, count as usize));
            summary.add_known(&known, elements, || format!("{}: graph {graph}", store.folder().display()));
            if known.fault.is_none() {
                graphs.push(graph as u32);
            }
        }
        summary.stress_rms = header.statistics.stress_rms;
        summary.with_columns.clone_from(&header.statistics.with_columns);
        Ok((Self::new(store, graphs, place), summary))
    }
}

/// What the index knows of a graph, within these limits.
fn known(entry: &Entry, limits: &Limits) -> Known {
    let has = |labels| entry.labels.has(labels);
    let shortest = Some(f64::from(entry.shortest)).filter(|distance| distance.is_finite());
    let stored = usize::from(entry.fault).checked_sub(1).and_then(|place| Fault::ALL.get(place).copied());
    let limited = if shortest.is_some_and(|distance| distance < limits.shortest_distance) {
        Some(Fault::Overlap)
    } else if f64::from(entry.largest_force) > limits.largest_force {
        Some(Fault::LargeForce)
    } else {
        None
    };
    Known {
        // As `inspect` orders them: without labels is the last that is looked for.
        fault: stored.filter(|fault| *fault != Fault::NoLabels).or(limited).or(stored),
        atoms: entry.atoms as usize,
        is_periodic: has(Labels::PERIODIC),
        energy: has(Labels::ENERGY).then_some(entry.energy),
        forces: has(Labels::FORCES).then(|| (entry.force_components(), f64::from(entry.force_squares))),
        largest_force: f64::from(entry.largest_force),
        has_stress: has(Labels::STRESS),
        shortest,
    }
}

impl Collection {
    /// Number of graphs.
    pub fn len(&self) -> usize {
        match self {
            Self::Memory(structures) => structures.len(),
            Self::Stored(stored) => stored.graphs.len(),
        }
    }

    /// Whether there are no graphs.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Where they lie in a store.
    pub fn stored(&self) -> Option<&Stored> {
        match self {
            Self::Memory(_) => None,
            Self::Stored(stored) => Some(stored),
        }
    }

    /// Atoms and edges of a graph.
    ///
    /// # Panics
    /// If there is no such graph.
    pub fn sizes(&self, index: usize) -> Sizes {
        match self {
            Self::Memory(structures) => structures[index].sizes,
            Self::Stored(stored) => {
                let (table, graph) = (stored.store.index(), stored.graph(index));
                Sizes { atoms: table.atoms(graph) as usize, edges: table.edges(graph, stored.cutoff) as usize }
            }
        }
    }

    /// A graph; one of a store is read.
    ///
    /// # Errors
    /// Where a store is damaged.
    ///
    /// # Panics
    /// If there is no such graph.
    pub fn structure(&self, index: usize) -> Result<Cow<'_, Structure>> {
        match self {
            Self::Memory(structures) => Ok(Cow::Borrowed(&structures[index].structure)),
            Self::Stored(stored) => stored.store.structure(stored.graph(index)).map(Cow::Owned),
        }
    }

    /// Where a graph was read; one of a store is read for that.
    ///
    /// # Errors
    /// Where a store is damaged.
    ///
    /// # Panics
    /// If there is no such graph.
    pub fn place(&self, index: usize) -> Result<Place> {
        match self {
            Self::Memory(structures) => Ok(structures[index].place.clone()),
            Self::Stored(stored) => {
                let (file, frame) = stored.store.place(stored.graph(index))?;
                Ok(Place { file: file.display().to_string().into(), frame: frame as usize })
            }
        }
    }

    /// All graphs, one after the other; those of a store are read.
    pub fn structures(&self) -> impl Iterator<Item = Result<Cow<'_, Structure>>> + '_ {
        (0..self.len()).map(|index| self.structure(index))
    }

    /// Elements of a graph's atoms, in any order.
    ///
    /// # Panics
    /// If there is no such graph.
    pub fn elements_of(&self, index: usize) -> &[Element] {
        match self {
            Self::Memory(structures) => &structures[index].structure.elements,
            Self::Stored(stored) => stored.elements(index),
        }
    }

    /// The total energy of a graph in eV, if it has one.
    ///
    /// # Panics
    /// If there is no such graph.
    pub fn energy(&self, index: usize) -> Option<f64> {
        match self {
            Self::Memory(structures) => structures[index].structure.energy,
            Self::Stored(stored) => stored.store.index().energy(stored.graph(index)),
        }
    }

    /// The elements of all graphs.
    pub fn elements(&self) -> BTreeSet<Element> {
        match self {
            Self::Memory(structures) => structures.iter().flat_map(|own| &own.structure.elements).copied().collect(),
            Self::Stored(stored) => {
                let index = stored.store.index();
                let used: BTreeSet<u32> =
                    stored.graphs.iter().map(|&graph| index.composition(graph as usize)).collect();
                used.into_iter().flat_map(|own| &stored.elements[own as usize]).copied().collect()
            }
        }
    }

    /// A share of the graphs, at least one where there is any, in their order. Which are chosen depends on `seed` and on
    /// `source` alone: a smaller share is part of a larger one.
    #[must_use]
    pub fn fraction(self, fraction: f64, seed: u64, source: usize) -> Self {
        let count = self.len();
        let kept = ((fraction * count as f64).round() as usize).clamp(1.min(count), count);
        if kept == count {
            return self;
        }
        let mut chosen = vec![false; count];
        let order = epoch_order(seed.wrapping_add(source as u64), FRACTION_STREAM, count);
        order[..kept].iter().for_each(|&index| chosen[index] = true);
        self.filter(&chosen)
    }

    /// The graphs, in their order, of whose elements `keeps` says yes.
    #[must_use]
    pub fn with_elements(self, keeps: impl Fn(&[Element]) -> bool) -> Self {
        let kept: Vec<bool> = (0..self.len()).map(|index| keeps(self.elements_of(index))).collect();
        self.filter(&kept)
    }

    /// The graphs, in their order, that count anything in the loss.
    #[must_use]
    pub fn with_weight(self) -> Self {
        let counts = |index: usize| match &self {
            Self::Memory(structures) => structures[index].structure.weight != Some(0.0),
            Self::Stored(stored) => stored.store.index().weight(stored.graph(index)) != 0.0,
        };
        let kept: Vec<bool> = (0..self.len()).map(counts).collect();
        if kept.contains(&false) { self.filter(&kept) } else { self }
    }

    /// The graphs, in their order, of which `kept` says so.
    #[must_use]
    pub fn filter(self, kept: &[bool]) -> Self {
        match self {
            Self::Memory(structures) => {
                Self::Memory(structures.into_iter().zip(kept).filter_map(|(own, kept)| kept.then_some(own)).collect())
            }
            Self::Stored(stored) => {
                let graphs = stored.graphs.iter().zip(kept).filter_map(|(&own, kept)| kept.then_some(own)).collect();
                Self::Stored(stored.with_graphs(graphs))
            }
        }
    }

    /// The part to train on and the part held out, as [`split`](fn@split) has it.
    ///
    /// # Errors
    /// As [`split`](fn@split).
    pub fn split(
        self,
        by: &SplitBy,
        validation_fraction: f64,
        seed: u64,
        source: usize,
    ) -> Result<(Self, Self), String> {
        let stored = match self {
            Self::Memory(structures) => {
                let (training, validation) = split(structures, by, validation_fraction, seed, source)?;
                return Ok((Self::Memory(training), Self::Memory(validation)));
            }
            Self::Stored(stored) => stored,
        };
        let index = stored.store.index();
        let group = |place: usize| {
            let graph = stored.graph(place);
            match by {
                SplitBy::Frame => Ok(None),
                SplitBy::Formula => Ok(Some(index.composition(graph))),
                SplitBy::Key(_) if index.group(graph) != 0 => Ok(Some(index.group(graph))),
                SplitBy::Key(key) => Err(without_key(key)),
            }
        };
        let held_out = held_out(stored.graphs.len(), group, by, validation_fraction, seed, source)?;
        let mut sides = (Vec::new(), Vec::new());
        for (&graph, held_out) in stored.graphs.iter().zip(held_out) {
            if held_out { &mut sides.1 } else { &mut sides.0 }.push(graph);
        }
        let side = |graphs| Self::Stored(stored.with_graphs(graphs));
        Ok((side(sides.0), side(sides.1)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collection(count: usize) -> Collection {
        let own = |k: usize| Measured {
            structure: Structure { energy: Some(k as f64), ..Structure::default() },
            place: Place { frame: k, ..Place::default() },
            sizes: Sizes { atoms: k, edges: 0 },
        };
        Collection::Memory((0..count).map(own).collect())
    }

    fn energies(collection: &Collection) -> Vec<usize> {
        (0..collection.len()).filter_map(|index| collection.energy(index)).map(|energy| energy as usize).collect()
    }

    #[test]
    fn graphs_are_kept_by_their_elements() {
        let element = |symbol: &str| symbol.parse::<Element>().unwrap();
        let mut structures = match collection(4) {
            Collection::Memory(structures) => structures,
            Collection::Stored(_) => Vec::new(),
        };
        structures[1].structure.elements = vec![element("N")];
        structures[3].structure.elements = vec![element("H"), element("N")];
        let kept = Collection::Memory(structures).with_elements(|elements| !elements.contains(&element("N")));
        assert_eq!(energies(&kept), [0, 2]);
    }

    #[test]
    fn what_counts_nothing_is_left_out() {
        let mut structures = match collection(4) {
            Collection::Memory(structures) => structures,
            Collection::Stored(_) => Vec::new(),
        };
        structures[1].structure.weight = Some(0.0);
        structures[2].structure.weight = Some(0.5);
        assert_eq!(energies(&Collection::Memory(structures).with_weight()), [0, 2, 3]);
    }

    #[test]
    fn a_smaller_share_is_part_of_a_larger_one() {
        let share = |fraction| energies(&collection(100).fraction(fraction, 3, 1));
        let (tenth, third, all) = (share(0.1), share(0.33), share(1.0));
        assert_eq!((tenth.len(), third.len(), all.len()), (10, 33, 100));
        assert!(tenth.is_sorted() && third.is_sorted() && tenth.iter().all(|own| third.contains(own)));
        assert_ne!(tenth, energies(&collection(100).fraction(0.1, 4, 1)));
        assert_ne!(tenth, energies(&collection(100).fraction(0.1, 3, 2)));
        assert_eq!(energies(&collection(3).fraction(1e-6, 0, 0)).len(), 1);
        assert!(collection(0).fraction(0.5, 0, 0).is_empty());
    }
}
