//! The equivariance harness on models that are not ours: a closure is enough.
//!
//!     cargo run --release --example check_your_model
//!
//! A pair potential, and the same with a mistake that is easy to make.
#![allow(clippy::print_stdout, reason = "an example that shows its result")]

use isograd::equivariance::{Description, Precision, Settings, System, check, from_fn};

const CUTOFF: f64 = 4.0;

/// What the models read and return, and what they claim.
fn description() -> Description {
    Description::new(3, Precision::F64)
        .species(&[1, 6, 8])
        .nodes(2, 8)
        .spacing(0.9)
        .cutoff(CUTOFF)
        .potential("energy", "forces")
}

/// Energy and forces of pairs `q_i q_j (1 - r^2 / c^2)^3`, which end at the cutoff c.
fn pair_potential(system: &System) -> Vec<Vec<f64>> {
    let (mut energy, mut forces) = (0.0, vec![[0.0; 3]; system.len()]);
    for (i, j) in (0..system.len()).flat_map(|i| (0..i).map(move |j| (i, j))) {
        let (a, b) = (system.positions.row(i), system.positions.row(j));
        let d: [f64; 3] = std::array::from_fn(|k| b[k] - a[k]);
        let rest = (1.0 - d.iter().map(|x| x * x).sum::<f64>() / CUTOFF.powi(2)).max(0.0);
        let strength = 0.01 * f64::from(system.species[i] * system.species[j]);
        energy += strength * rest.powi(3);
        for k in 0..3 {
            let force = strength * 6.0 * rest.powi(2) * d[k] / CUTOFF.powi(2);
            (forces[i][k], forces[j][k]) = (forces[i][k] - force, forces[j][k] + force);
        }
    }
    vec![vec![energy], forces.into_flattened()]
}

fn main() {
    let report = check(&from_fn(description(), pair_potential), &Settings::default());
    println!("A pair potential\n{report}");
    assert!(report.passed);

    // A linear layer with a bias on a vector: one constant added to one component.
    let broken = from_fn(description(), |system| {
        let mut found = pair_potential(system);
        found[1].iter_mut().skip(2).step_by(3).for_each(|z| *z += 1e-3);
        found
    });
    let report = check(&broken, &Settings::default());
    println!("The same with a bias on its forces\n{report}");
    assert!(!report.passed);
}

#[test]
fn runs() {
    main();
}
