//! The edges of points in a space of any dimension: all pairs closer than a cutoff.

use crate::HostEdges;

/// All pairs of points closer than `cutoff`, without cells or repetition: positions `[N, D]`, row by row. Every pair is
/// looked at, so the time is of the order of N squared; for atoms there is
/// [`neighbour_list`](isograd_structure::neighbour_list).
///
/// # Panics
/// If `dims` is zero, or the positions are not rows of `dims` numbers.
pub fn radius_graph(positions: &[f64], dims: usize, cutoff: f64) -> HostEdges {
    assert!(dims > 0 && positions.len().is_multiple_of(dims), "radius_graph: rows of {dims} numbers");
    let mut edges = HostEdges { offsets: vec![0], ..HostEdges::default() };
    for (receiver, here) in positions.chunks_exact(dims).enumerate() {
        for (sender, there) in positions.chunks_exact(dims).enumerate().filter(|(sender, _)| *sender != receiver) {
            let vector = here.iter().zip(there).map(|(here, there)| there - here);
            if vector.clone().map(|x| x * x).sum::<f64>() < cutoff * cutoff {
                edges.senders.push(sender as u32);
                edges.vectors.extend(vector);
            }
        }
        edges.offsets.push(edges.senders.len() as u32);
    }
    edges
}

#[cfg(test)]
mod tests {
    use super::*;
    use approx::assert_abs_diff_eq;
    use std::collections::BTreeMap;

    use isograd_structure::{Geometry, neighbour_list};

    #[test]
    fn in_three_dimensions_it_is_the_neighbour_list() {
        let positions: Vec<[f64; 3]> =
            (0..40).map(|k| [1.0, 7.0, 3.0].map(|x| (x * f64::from(k)).sin() * 3.0)).collect();
        let found = radius_graph(positions.as_flattened(), 3, 2.5);
        let list: HostEdges = neighbour_list(&Geometry { positions, ..Geometry::default() }, 2.5).unwrap().into();
        assert!(found.senders.len() > 40);
        assert_eq!(found.offsets, list.offsets);
        for range in found.offsets.windows(2).map(|range| range[0] as usize..range[1] as usize) {
            let by_sender = |edges: &HostEdges| -> BTreeMap<u32, [f64; 3]> {
                range.clone().map(|edge| (edges.senders[edge], edges.vectors.as_chunks().0[edge])).collect()
            };
            let (found, list) = (by_sender(&found), by_sender(&list));
            assert!(found.keys().eq(list.keys()));
            for (a, b) in found.values().zip(list.values()).flat_map(|(a, b)| a.iter().zip(b)) {
                assert_abs_diff_eq!(a, b, epsilon = 1e-12);
            }
        }
    }

    #[test]
    fn in_the_plane() {
        let edges = radius_graph(&[0.0, 0.0, 1.0, 0.0, 0.0, 5.0], 2, 2.0);
        let expected = HostEdges { offsets: vec![0, 1, 2, 2], senders: vec![1, 0], vectors: vec![1.0, 0.0, -1.0, 0.0] };
        assert_eq!(edges, expected);
    }
}
