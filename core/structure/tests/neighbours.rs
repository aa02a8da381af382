//! The neighbour list against brute force over random cells, and against ASE's.

mod brute_force;

use brute_force::brute_force;
use isograd_structure::{Cell, Geometry, NeighbourList, VerletList, neighbour_list, pairs};
use proptest::prelude::*;

/// Edges as comparable numbers: receiver, sender, shift.
fn keys(list: &NeighbourList) -> Vec<(u32, u32, [i32; 3])> {
    list.receivers().zip(&list.senders).zip(&list.shifts).map(|((i, &j), &shift)| (i, j, shift)).collect()
}

/// A cell that is not flat, atoms in and around it, any periodicity.
fn geometries() -> impl Strategy<Value = Geometry> {
    let vector = || prop::array::uniform3(-6.0..6.0f64);
    let cell =
        prop::array::uniform3(vector()).prop_filter("flat cell", |rows| Cell(*rows).volume() > 8.0).prop_map(Cell);
    let positions = prop::collection::vec(prop::array::uniform3(-15.0..15.0f64), 0..40);
    (positions, cell, prop::array::uniform3(any::<bool>())).prop_map(|(positions, cell, periodic)| Geometry {
        positions,
        cell: Some(cell),
        periodic,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_kept_list_is_a_new_list(
        geometry in geometries(),
        cutoff in 0.5..6.5f64,
        skin in 0.0..1.5f64,
        steps in prop::collection::vec((any::<prop::sample::Index>(), prop::array::uniform3(-0.4..0.4f64)), 1..30),
    ) {
        let mut geometry = geometry;
        let mut kept = VerletList::new(cutoff, skin);
        for (atom, step) in steps {
            if !geometry.positions.is_empty() {
                let atom = atom.index(geometry.positions.len());
                (0..3).for_each(|k| geometry.positions[atom][k] += step[k]);
            }
            let (found, new) = (kept.list(&geometry).unwrap(), neighbour_list(&geometry, cutoff).unwrap());
            prop_assert_eq!(keys(&found), keys(&new));
            for (a, b) in found.vectors.as_flattened().iter().zip(new.vectors.as_flattened()) {
                prop_assert!((a - b).abs() < 1e-11, "{} and {}", a, b);
            }
        }
    }

    #[test]
    fn equals_brute_force(geometry in geometries(), cutoff in 0.5..6.5f64) {
        let list = neighbour_list(&geometry, cutoff).unwrap();
        for near in [0.5 * cutoff, 2.0 * cutoff] {
            let found = pairs(&geometry, cutoff, near).unwrap();
            prop_assert_eq!(found.edges, list.len());
            let lengths = neighbour_list(&geometry, near).unwrap().vectors.into_iter();
            let squares = lengths.map(|r| r.iter().map(|x| x * x).sum::<f64>());
            let shortest = squares.reduce(f64::min).map(f64::sqrt);
            let same = match (found.shortest, shortest) {
                (Some(a), Some(b)) => (a - b).abs() <= 1e-12 * b,
                (a, b) => a == b,
            };
            prop_assert!(same, "{:?}, {shortest:?} by the list", found.shortest);
        }
        let expected = keys(&brute_force(&geometry, cutoff).unwrap());
        let found = keys(&list);
        // The two round differently: a pair may be on either side only where it is at the cutoff.
        if found != expected {
            let cell = geometry.cell.unwrap();
            let distance = |&(i, j, shift): &(u32, u32, [i32; 3])| {
                let moved = cell.translation(shift);
                (0..3).map(|k| {
                    let periodic: f64 = moved[k];
                    (geometry.positions[j as usize][k] + periodic - geometry.positions[i as usize][k]).powi(2)
                }).sum::<f64>().sqrt()
            };
            let odd = found.iter().filter(|e| !expected.contains(e)).chain(expected.iter().filter(|e| !found.contains(e)));
            for edge in odd {
                prop_assert!((distance(edge) - cutoff).abs() < 1e-9, "{edge:?}");
            }
        }
        for (vector, edge) in list.vectors.iter().zip(&found) {
            let length = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
            prop_assert!(length < cutoff, "{edge:?}");
        }
    }

    #[test]
    fn vectors_are_what_shifts_say(geometry in geometries()) {
        let list = neighbour_list(&geometry, 4.0).unwrap();
        let cell = geometry.cell.unwrap();
        for ((i, j, shift), vector) in keys(&list).into_iter().zip(&list.vectors) {
            let moved = cell.translation(shift);
            for k in 0..3 {
                prop_assert!(geometry.periodic[k] || shift[k] == 0);
                let expected = geometry.positions[j as usize][k] + moved[k] - geometry.positions[i as usize][k];
                prop_assert!((vector[k] - expected).abs() < 1e-9);
            }
        }
    }

    #[test]
    fn every_edge_has_its_reverse(geometry in geometries()) {
        let found = keys(&neighbour_list(&geometry, 3.7).unwrap());
        for &(i, j, shift) in &found {
            prop_assert!(found.binary_search(&(j, i, shift.map(|n| -n))).is_ok());
        }
    }
}

#[test]
fn equals_ase() {
    #[derive(serde::Deserialize)]
    struct Case {
        name: String,
        cutoff: f64,
        positions: Vec<[f64; 3]>,
        cell: [[f64; 3]; 3],
        periodic: [bool; 3],
        edges: Vec<[i32; 5]>,
    }
    let cases: Vec<Case> = serde_json::from_str(include_str!("golden/neighbours.json")).unwrap();
    assert_eq!(cases.len(), 7);
    for case in cases {
        let geometry = Geometry { positions: case.positions, cell: Some(Cell(case.cell)), periodic: case.periodic };
        let found: Vec<[i32; 5]> = keys(&neighbour_list(&geometry, case.cutoff).unwrap())
            .into_iter()
            .map(|(i, j, s)| [i as i32, j as i32, s[0], s[1], s[2]])
            .collect();
        assert_eq!(found, case.edges, "{}", case.name);
    }
}

#[test]
fn large_structures_take_the_parallel_path_to_the_same_list() {
    let spacing = 1.7;
    let positions: Vec<[f64; 3]> = (0..15 * 15 * 15)
        .map(|n| [n % 15, n / 15 % 15, n / 225].map(|k| f64::from(k) * spacing + 0.05 * f64::from(n * 7919 % 13)))
        .collect();
    let edge = 15.0 * spacing;
    let cell = Some(Cell([[edge, 0.0, 0.0], [0.3, edge, 0.0], [0.0, -0.2, edge]]));
    let geometry = Geometry { positions, cell, periodic: [true, false, true] };
    let expected = keys(&brute_force(&geometry, 3.0).unwrap());
    assert_eq!(keys(&neighbour_list(&geometry, 3.0).unwrap()), expected);
    assert_eq!(pairs(&geometry, 3.0, 1.0).unwrap().edges, expected.len());
}
