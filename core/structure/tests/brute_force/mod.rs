//! The neighbour list by brute force: nothing to go wrong, and nothing to be fast.

use isograd_structure::{Geometry, NeighbourList};

/// The reference that tests and fuzzing hold `neighbour_list` against: every atom against every image of
/// every atom, with no bins and no wrapping, rows sorted as the list sorts them. Quadratic in atoms.
///
/// Returns `None` if the lattice vectors of the periodic directions are missing or flat.
pub(crate) fn brute_force(geometry: &Geometry, cutoff: f64) -> Option<NeighbourList> {
    let lattice = geometry.spanning_lattice()?;
    let inverse = lattice.try_inverse()?;
    let positions = &geometry.positions;
    let along = |p: &[f64; 3], k: usize| p[0] * inverse[(0, k)] + p[1] * inverse[(1, k)] + p[2] * inverse[(2, k)];
    // |s_k| <= |f_j - f_i|_k + cutoff / height_k bounds the images that can matter.
    let images: [i64; 3] = std::array::from_fn(|k| {
        if !geometry.periodic[k] {
            return 0;
        }
        let low = positions.iter().map(|p| along(p, k)).fold(f64::INFINITY, f64::min);
        let high = positions.iter().map(|p| along(p, k)).fold(f64::NEG_INFINITY, f64::max);
        let spread = if high > low { high - low } else { 0.0 };
        (spread + cutoff * inverse.column(k).norm()).ceil() as i64
    });
    let range = |k: usize| -images[k]..=images[k];
    let translations: Vec<([i32; 3], [f64; 3])> = range(0)
        .flat_map(|a| range(1).flat_map(move |b| range(2).map(move |c| [a, b, c])))
        .map(|n| {
            let along_axis = |axis| (0..3).map(|k| n[k] as f64 * lattice[(k, axis)]).sum();
            (n.map(|n| n as i32), std::array::from_fn(along_axis))
        })
        .collect();
    let mut list = NeighbourList { offsets: vec![0], ..Default::default() };
    for (i, x_i) in positions.iter().enumerate() {
        let mut row = Vec::new();
        for (j, x_j) in positions.iter().enumerate() {
            for &(shift, moved) in &translations {
                let vector = [x_j[0] + moved[0] - x_i[0], x_j[1] + moved[1] - x_i[1], x_j[2] + moved[2] - x_i[2]];
                let square = vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2];
                if square < cutoff * cutoff && !(i == j && shift == [0; 3]) {
                    row.push((j as u32, shift, vector));
                }
            }
        }
        row.sort_unstable_by_key(|&(sender, shift, _)| (sender, shift));
        for (sender, shift, vector) in row {
            list.senders.push(sender);
            list.shifts.push(shift);
            list.vectors.push(vector);
        }
        list.offsets.push(list.senders.len());
    }
    Some(list)
}
