#![no_main]
//! The cell list against brute force on any lattice and any positions.

use arbitrary::Arbitrary;
use brute_force::brute_force;
use isograd_structure::{Cell, Geometry, NeighbourList, neighbour_list, pairs};
use libfuzzer_sys::fuzz_target;

#[path = "../../core/structure/tests/brute_force/mod.rs"]
mod brute_force;

/// Small integers become lattices and positions with many exact ties, which random floats never have.
#[derive(Debug, Arbitrary)]
struct Input {
    cell: [[i8; 3]; 3],
    periodic: [bool; 3],
    positions: Vec<[i16; 3]>,
    cutoff: u8,
}

fn keys(list: &NeighbourList) -> Vec<(u32, u32, [i32; 3])> {
    list.receivers().zip(&list.senders).zip(&list.shifts).map(|((i, &j), &shift)| (i, j, shift)).collect()
}

fuzz_target!(|input: Input| {
    let cell = Cell(input.cell.map(|row| row.map(|v| f64::from(v) / 16.0)));
    let positions: Vec<[f64; 3]> =
        input.positions.iter().take(24).map(|row| row.map(|v| f64::from(v) / 64.0)).collect();
    let geometry = Geometry { positions, cell: Some(cell), periodic: input.periodic };
    let cutoff = f64::from(input.cutoff) / 32.0;
    let Ok(list) = neighbour_list(&geometry, cutoff) else { return };
    // Brute force visits every image of every pair: only where that is affordable.
    let Some(lattice) = geometry.spanning_lattice() else { panic!("a list was made on a flat lattice") };
    let inverse = lattice.try_inverse().expect("a list was made on this lattice");
    let images: f64 = (0..3)
        .filter(|&k| geometry.periodic[k])
        .map(|k| 2.0 * (1.0 + (1024.0 * 1.8 + cutoff) * inverse.column(k).norm()) + 1.0)
        .product();
    let atoms = geometry.positions.len() as f64;
    if images * atoms * atoms > 3e6 {
        return;
    }
    let reference = brute_force(&geometry, cutoff).expect("a list was made on this lattice");
    let found = pairs(&geometry, cutoff, cutoff).map(|found| found.edges);
    assert_eq!(found, Ok(list.len()), "{geometry:?} at {cutoff}");
    let (found, expected) = (keys(&list), keys(&reference));
    if found == expected {
        return;
    }
    // A pair may be on either side only where it is at the cutoff.
    let length = |edge: &(u32, u32, [i32; 3])| {
        let moved = cell.translation(edge.2);
        let square = |k: usize| {
            let d: f64 = geometry.positions[edge.1 as usize][k] + moved[k] - geometry.positions[edge.0 as usize][k];
            d * d
        };
        (square(0) + square(1) + square(2)).sqrt()
    };
    let odd = found.iter().filter(|e| !expected.contains(e)).chain(expected.iter().filter(|e| !found.contains(e)));
    for edge in odd {
        assert!((length(edge) - cutoff).abs() < 1e-9 * (1.0 + cutoff), "{edge:?} in {geometry:?} at {cutoff}");
    }
});
