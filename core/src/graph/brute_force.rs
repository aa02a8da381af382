//! The neighbour list by brute force: nothing to go wrong, and nothing to be fast.

use nalgebra::Vector3;

use super::neighbours::{Edge, NeighbourList};
use crate::structure::Geometry;
use crate::{Error, Result};

/// The reference that tests and fuzzing hold [`super::neighbour_list`] against: every atom against every
/// image of every atom, with no bins and no wrapping. Quadratic in atoms.
///
/// # Errors
/// [`Error::Structure`] if the lattice vectors of the periodic directions are missing or flat.
pub fn brute_force(geometry: &Geometry, cutoff: f64) -> Result<NeighbourList> {
    let flat = || Error::Structure("the lattice vectors of the periodic directions lie in one plane".into());
    let lattice = geometry.spanning_lattice().ok_or_else(flat)?;
    let inverse = lattice.try_inverse().ok_or_else(flat)?;
    let positions: Vec<Vector3<f64>> = geometry.positions.iter().map(|p| Vector3::from(*p)).collect();
    // |s_k| <= |f_j - f_i|_k + cutoff / height_k bounds the images that can matter.
    let fractions: Vec<Vector3<f64>> = positions.iter().map(|p| inverse.tr_mul(p)).collect();
    let images: [i64; 3] = std::array::from_fn(|k| {
        if !geometry.periodic[k] {
            return 0;
        }
        let low = fractions.iter().map(|f| f[k]).fold(f64::INFINITY, f64::min);
        let high = fractions.iter().map(|f| f[k]).fold(f64::NEG_INFINITY, f64::max);
        let spread = if high > low { high - low } else { 0.0 };
        (spread + cutoff * inverse.column(k).norm()).ceil() as i64
    });
    let mut rows = vec![Vec::new(); positions.len()];
    for (i, row) in rows.iter_mut().enumerate() {
        for (j, position) in positions.iter().enumerate() {
            for a in -images[0]..=images[0] {
                for b in -images[1]..=images[1] {
                    for c in -images[2]..=images[2] {
                        let shift = lattice.tr_mul(&Vector3::new(a as f64, b as f64, c as f64));
                        let vector = position + shift - positions[i];
                        let same = i == j && [a, b, c] == [0; 3];
                        if vector.norm_squared() < cutoff * cutoff && !same {
                            row.push(Edge {
                                sender: j as u32,
                                shift: [a as i32, b as i32, c as i32],
                                vector: vector.into(),
                            });
                        }
                    }
                }
            }
        }
    }
    Ok(NeighbourList::from_rows(rows))
}
