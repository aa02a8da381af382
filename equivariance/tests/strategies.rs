//! The `proptest` strategies draw what they say, and shrink to something simple.

mod reference;

use isograd_equivariance::{Model, Rows, System, Transformation, strategies};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use reference::{Fault, double};

proptest! {
    #[test]
    fn matrices_are_orthogonal(q in strategies::orthogonal(4), r in strategies::rotation(3)) {
        let (q, r) = (q.matrix(), r.matrix());
        prop_assert!((&q * q.transpose() - nalgebra::DMatrix::identity(4, 4)).norm() < 1e-12);
        prop_assert!((r.determinant() - 1.0).abs() < 1e-12);
    }

    #[test]
    fn cells_have_volume(cell in strategies::cell(3, 2.0..=6.0)) {
        // An upright box of the same edges has at least 2^3.
        prop_assert!(cell.matrix().determinant().abs() > 7.99);
    }

    #[test]
    fn lattice_changes_keep_the_volume(t in strategies::lattice_basis(vec![true, true, false])) {
        let Transformation::LatticeBasis(basis) = t else { unreachable!() };
        let matrix = Rows::from_fn(3, 3, |i, j| f64::from(basis[i][j])).matrix();
        prop_assert!((matrix.determinant().abs() - 1.0).abs() < 1e-12);
        prop_assert_eq!(&basis[2], &vec![0, 0, 1]);
    }

    /// A downstream test in a few lines: energies do not change, forces turn.
    #[test]
    fn a_model_is_equivariant(
        system in strategies::system(&double(Fault::None, 3).describe()),
        turn in strategies::rotation(3),
        step in strategies::translation(3, 5.0),
    ) {
        let model = double(Fault::None, 3);
        let description = model.describe();
        for transformation in [Transformation::Orthogonal(turn), step] {
            let before = model.evaluate(std::slice::from_ref(&system)).unwrap().remove(0);
            let after = model.evaluate(&[transformation.apply(&system)]).unwrap().remove(0);
            let expected = transformation.expected(&description, &system, &before);
            for (found, expected) in after.concat().iter().zip(expected.concat()) {
                prop_assert!((found - expected).abs() < 1e-10 * expected.abs().max(1.0), "{found} instead of {expected}");
            }
        }
    }
}

proptest! {
    /// Another, for a crystal in any cell: its stress is the derivative of its energy.
    #[test]
    fn a_stress_is_the_derivative_of_the_energy(
        system in strategies::system(&double(Fault::None, 3).describe()),
        cell in strategies::cell(3, 3.0..=6.0),
        strain in strategies::strain(3, 1.0),
    ) {
        let model = double(Fault::None, 3);
        let crystal = System { cell: Some(cell), periodic: vec![true; 3], ..system };
        let step = 1e-5;
        let strained = |sign: f64| {
            let values = strain.values().iter().map(|x| sign * step * x).collect();
            crystal.strained(&Rows::new(3, values))
        };
        let answers = model.evaluate(&[crystal.clone(), strained(1.0), strained(-1.0)]).unwrap();
        let slope = (answers[1][0][0] - answers[2][0][0]) / (2.0 * step) / crystal.volume().unwrap();
        let stress: f64 = answers[0][7].iter().zip(strain.values()).map(|(a, b)| a * b).sum();
        prop_assert!((stress - slope).abs() < 1e-6 * slope.abs().max(1.0), "{stress} instead of {slope}");
    }

    #[test]
    fn strains_are_symmetric(strain in strategies::strain(4, 0.1)) {
        let matrix = strain.matrix();
        prop_assert_eq!(&matrix, &matrix.transpose());
        prop_assert!(matrix.amax() < 0.1);
    }
}

#[test]
fn rotations_shrink_to_the_identity() {
    let mut tree = strategies::rotation(3).new_tree(&mut TestRunner::deterministic()).unwrap();
    while tree.simplify() {}
    let q = tree.current().matrix();
    assert!((q - nalgebra::DMatrix::identity(3, 3)).norm() < 1e-6);
}
