//! Whether structures that are held out are trained on as well: errors on these say nothing of new ones.

use std::collections::{HashMap, HashSet};

use isograd_structure::Structure;
use rayon::prelude::*;

use super::SAME;
use super::auditor::alike;
use super::fingerprint::{Changes, Fingerprint, difference, fingerprint, response};
use super::near::{self, Groups};
use crate::store::Composition;
use crate::{Collection, Place, Result};

/// What is both trained on and held out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leak {
    /// How many structures that are held out are trained on too.
    pub count: usize,
    /// The first of them.
    pub held_out: Place,
    /// One that it is a copy of.
    pub trained: Place,
}

/// How far structures are apart, in angstrom, that differ by the last digits of a file: these need no second look.
const ROUNDED: f64 = 1e-2 * SAME;

/// Times that a structure is moved in several ways, to know how its fingerprint changes.
const PROBED: usize = 8;

/// A graph of a collection, by the positions of both.
type Graph = (usize, usize);

/// The structures of `held_out` whose copies are in `training`; nothing where there are none. A copy of a structure in memory is the same
/// structure, turned, moved, renumbered or in other lattice vectors, whatever its labels; a copy of a graph of a
/// store is equal to it to the last digit, labels included: that is what its index says. Graphs of stores and of files are not
/// compared with each other.
///
/// # Errors
/// Where a store is damaged.
pub fn leaks(training: &[&Collection], held_out: &[&Collection]) -> Result<Option<Leak>> {
    let mut all = in_memory(training, held_out);
    all.extend(in_stores(training, held_out));
    all.sort_unstable_by_key(|(own, _)| *own);
    let Some(&((part, index), (of, other))) = all.first() else { return Ok(None) };
    let places = (held_out[part].place(index)?, training[of].place(other)?);
    Ok(Some(Leak { count: all.len(), held_out: places.0, trained: places.1 }))
}

/// Graphs of stores that are held out, each with an equal one that is trained on. Of those that are trained on nothing is kept: there
/// may be tens of millions.
fn in_stores(training: &[&Collection], held_out: &[&Collection]) -> Vec<(Graph, Graph)> {
    let own: HashSet<u64> = hashes(held_out).map(|(hash, _)| hash).collect();
    if own.is_empty() {
        return Vec::new();
    }
    let mut trained: HashMap<u64, Graph> = HashMap::new();
    for (hash, graph) in hashes(training) {
        if own.contains(&hash) {
            trained.entry(hash).or_insert(graph);
        }
    }
    hashes(held_out).filter_map(|(hash, graph)| Some((graph, *trained.get(&hash)?))).collect()
}

/// The hash of each graph that is in a store, one after the other.
fn hashes<'a>(parts: &'a [&Collection]) -> impl Iterator<Item = (u64, Graph)> + 'a {
    let stored = parts.iter().enumerate().filter_map(|(part, collection)| match collection {
        Collection::Memory(_) => None,
        Collection::Stored(stored) => Some((part, stored, collection.len())),
    });
    stored.flat_map(|(part, stored, count)| {
        (0..count).map(move |index| (stored.store().index().hash(stored.graph(index)), (part, index)))
    })
}

/// Structures in memory that are held out, each with a copy that is trained on.
fn in_memory(training: &[&Collection], held_out: &[&Collection]) -> Vec<(Graph, Graph)> {
    let mut all: Vec<(Graph, bool, &Structure)> = Vec::new();
    for (parts, is_held_out) in [(training, false), (held_out, true)] {
        for (part, collection) in parts.iter().enumerate() {
            if let Collection::Memory(structures) = collection {
                let own = structures.iter().enumerate();
                all.extend(own.map(|(index, own)| ((part, index), is_held_out, &own.structure)));
            }
        }
    }
    let keys: Vec<_> =
        all.par_iter().map(|(.., structure)| alike(structure, &Composition::of(&structure.elements))).collect();
    let mut groups: HashMap<_, Vec<usize>> = HashMap::new();
    for (place, key) in keys.into_iter().enumerate() {
        groups.entry(key).or_default().push(place);
    }
    let both = |own: &&Vec<usize>| {
        let held_out = own.iter().filter(|place| all[**place].1).count();
        held_out > 0 && held_out < own.len()
    };
    let groups: Vec<&Vec<usize>> = groups.values().filter(both).collect();
    groups.par_iter().flat_map_iter(|own| across(own, &all)).collect()
}

/// Of structures that may be compared, those that are held out, each with a copy that is trained on.
fn across(own: &[usize], all: &[(Graph, bool, &Structure)]) -> Vec<(Graph, Graph)> {
    let prints: Vec<_> = own.par_iter().map(|&place| fingerprint(all[place].2)).collect();
    let known: Vec<_> = own.iter().zip(prints).filter_map(|(&place, print)| Some((place, print?))).collect();
    let Some((first, start)) = known.first() else { return Vec::new() };
    let response = response(all[*first].2).filter(|response| *response > 1e-6).unwrap_or(1.0);
    let points: Vec<_> = known.iter().map(|(_, print)| difference(print, start)).collect();
    let pairs = near::pairs(&points, (SAME * response) as f32);
    let same = |pair: &near::Pair| {
        let [a, b] = pair.points.map(|point| &known[point as usize]);
        let surely = f64::from(pair.distance) <= ROUNDED * response;
        (surely || are_same(all[a.0].2, &a.1, &b.1)).then_some(pair.points)
    };
    let same: Vec<[u32; 2]> = pairs.par_iter().filter_map(same).collect();
    let mut groups = Groups::of(points.len(), same.into_iter());
    let mut trained: HashMap<u32, Graph> = HashMap::new();
    for (point, (place, _)) in known.iter().enumerate() {
        let (graph, is_held_out, _) = all[*place];
        if !is_held_out {
            trained.entry(groups.first(point as u32)).or_insert(graph);
        }
    }
    let mut leaks = Vec::new();
    for (point, (place, _)) in known.iter().enumerate() {
        let (graph, is_held_out, _) = all[*place];
        if is_held_out && let Some(&copy) = trained.get(&groups.first(point as u32)) {
            leaks.push((graph, copy));
        }
    }
    leaks
}

/// Whether a structure and another one are the same, by how the fingerprint of the first changes in every direction.
fn are_same(structure: &Structure, own: &Fingerprint, other: &Fingerprint) -> bool {
    let mut changes = Changes::new();
    (0..PROBED).for_each(|number| changes.add(&Changes::of(structure, number)));
    let distances = changes.metric().map(|metric| metric.apply(&difference(other, own)));
    distances.is_some_and(|own| f64::from(own.iter().map(|x| x * x).sum::<f32>().sqrt()) <= SAME)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Measured, Sizes};
    use isograd_structure::Geometry;

    /// Dimers of so many picometres, along other axes.
    fn dimers(file: &str, picometres: &[usize]) -> Collection {
        let one = |(frame, &distance): (usize, &usize)| {
            let mut far = [0.0; 3];
            far[frame % 3] = 1e-2 * distance as f64;
            Measured {
                structure: Structure {
                    geometry: Geometry { positions: vec![[0.0; 3], far], ..Geometry::default() },
                    elements: ["C", "O"].map(|symbol| symbol.parse().unwrap()).into(),
                    energy: Some(frame as f64),
                    ..Structure::default()
                },
                place: Place { file: file.into(), frame },
                sizes: Sizes { atoms: 2, edges: 2 },
            }
        };
        Collection::Memory(picometres.iter().enumerate().map(one).collect())
    }

    #[test]
    fn copies_are_found_however_they_are_turned() {
        let training = [dimers("a", &[110, 120]), dimers("b", &[130, 140])];
        let held_out = [dimers("c", &[115, 125, 140, 110, 140])];
        let found = leaks(&training.each_ref(), &held_out.each_ref()).unwrap().unwrap();
        assert_eq!(found.count, 3);
        assert_eq!((found.held_out.to_string(), found.trained.to_string()), ("c: frame 2".into(), "b: frame 1".into()));
        assert_eq!(leaks(&training.each_ref(), &[&dimers("c", &[115, 125])]).unwrap(), None);
        assert_eq!(leaks(&[], &held_out.each_ref()).unwrap(), None);
    }

    #[test]
    fn more_copies_than_are_searched_for_are_found_too() {
        let training = dimers("a", &[100; 300]);
        let held_out = dimers("b", &[100; 200]);
        assert_eq!(leaks(&[&training], &[&held_out]).unwrap().unwrap().count, 200);
    }
}
