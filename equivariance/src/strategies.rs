//! `proptest` strategies, so that tests elsewhere can draw and shrink transformations, strains and systems.

use std::ops::RangeInclusive;

use nalgebra::DMatrix;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::{Description, Rows, System, Transformation, group};

/// An element of O(n) as rows, `[D, D]`; shrinks towards the identity.
pub fn orthogonal(dimensions: usize) -> impl Strategy<Value = Rows> {
    vec(-1.0..1.0f64, dimensions * dimensions).prop_map(move |values| {
        // Small values give a matrix near the identity, whose orthogonal factor is the identity.
        let matrix = DMatrix::from_row_slice(dimensions, dimensions, &values);
        let size = matrix.norm();
        let spread = matrix + DMatrix::identity(dimensions, dimensions) * (1.0 - size).max(0.0);
        Rows::from_matrix(&group::orthogonalised(spread))
    })
}

/// A rotation as rows, `[D, D]`; shrinks towards the identity.
pub fn rotation(dimensions: usize) -> impl Strategy<Value = Rows> {
    orthogonal(dimensions).prop_map(|matrix| Rows::from_matrix(&group::with_determinant(matrix.matrix(), 1.0)))
}

/// A symmetric strain as rows, `[D, D]`, components up to `size`; shrinks towards none.
pub fn strain(dimensions: usize, size: f64) -> impl Strategy<Value = Rows> {
    vec(-size..size, dimensions * dimensions).prop_map(move |values| {
        // Both halves have the values of the upper one.
        Rows::from_fn(dimensions, dimensions, |i, j| values[i.min(j) * dimensions + i.max(j)])
    })
}

/// A translation with components up to `size`.
pub fn translation(dimensions: usize, size: f64) -> impl Strategy<Value = Transformation> {
    vec(-size..size, dimensions).prop_map(Transformation::Translation)
}

/// A permutation of `nodes` nodes.
pub fn permutation(nodes: usize) -> impl Strategy<Value = Transformation> {
    Just((0..nodes).collect::<Vec<_>>()).prop_shuffle().prop_map(Transformation::Permutation)
}

/// A change of lattice basis along the periodic directions; shrinks towards fewer shears.
pub fn lattice_basis(periodic: Vec<bool>) -> impl Strategy<Value = Transformation> {
    let axes: Vec<usize> = (0..periodic.len()).filter(|&axis| periodic[axis]).collect();
    let size = periodic.len();
    vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), -1..=1i32), 0..4).prop_map(move |shears| {
        let mut basis: Vec<Vec<i32>> = (0..size).map(|i| (0..size).map(|j| i32::from(i == j)).collect()).collect();
        for (target, source, sign) in shears.into_iter().filter(|_| axes.len() > 1) {
            let (target, source) = (axes[target.index(axes.len())], axes[source.index(axes.len())]);
            if target != source {
                let row = basis[source].clone();
                basis[target].iter_mut().zip(row).for_each(|(value, other)| *value += sign * other);
            }
        }
        Transformation::LatticeBasis(basis)
    })
}

/// A triclinic cell with lattice vectors as rows, `[D, D]`, edges in `edges`, sheared by up to half an
/// edge, turned at random; shrinks towards a small upright box.
pub fn cell(dimensions: usize, edges: RangeInclusive<f64>) -> impl Strategy<Value = Rows> {
    let lengths = vec(edges, dimensions);
    let shears = vec(-0.5..0.5f64, dimensions * dimensions);
    (lengths, shears, orthogonal(dimensions)).prop_map(move |(lengths, shears, turn)| {
        let upright = Rows::from_fn(dimensions, dimensions, |i, j| match i.cmp(&j) {
            std::cmp::Ordering::Equal => lengths[i],
            std::cmp::Ordering::Greater => shears[i * dimensions + j] * lengths[j],
            std::cmp::Ordering::Less => 0.0,
        });
        upright.mapped(&turn.matrix())
    })
}

/// A system that suits a model, not periodic: nodes on a grid, each moved by up to a third of the
/// spacing, so that shrinking never brings two together.
pub fn system(description: &Description) -> impl Strategy<Value = System> + use<> {
    let description = description.clone();
    let (fewest, most) = description.nodes;
    (fewest..=most).prop_flat_map(move |nodes| {
        let d = description.clone();
        let numbers = |count: usize| vec(-1.0..1.0f64, count);
        let species = vec(prop::sample::select(d.species.clone()), nodes);
        (
            species,
            numbers(nodes * d.dimensions),
            numbers(nodes * d.features),
            vec(numbers(nodes * d.dimensions), d.vectors),
        )
            .prop_map(move |(species, jitter, features, vectors)| {
                let side = (nodes as f64).powf(1.0 / d.dimensions as f64).ceil() as usize;
                let positions = Rows::from_fn(nodes, d.dimensions, |node, axis| {
                    let site = node / side.pow(axis as u32) % side;
                    d.spacing * (5.0 / 3.0 * site as f64 + jitter[node * d.dimensions + axis] / 3.0)
                });
                System {
                    features: Rows::new(d.features, features),
                    vectors: vectors.into_iter().map(|values| Rows::new(d.dimensions, values)).collect(),
                    ..System::free(positions, species)
                }
            })
    })
}
