//! The equivariance harness on models that are not ours: a closure is enough.
//!
//!     cargo run --release --example check_your_model
//!
//! Both models predict an energy and forces of atoms from positions and species. The first is a pair
//! potential; the second is the same with a mistake that is easy to make.
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
        .extensive_scalar("energy")
        .node_vector("forces")
        .conservative("energy", "forces")
        .zero_sum("forces")
        .zero_torque("forces")
}

/// Energy and forces of pairs `q_i q_j exp(-r) (1 - (r/c)^2)^3`.
fn pair_potential(system: &System) -> (f64, Vec<[f64; 3]>) {
    let mut energy = 0.0;
    let mut forces = vec![[0.0; 3]; system.len()];
    for i in 0..system.len() {
        for j in 0..i {
            let (a, b) = (system.positions.row(i), system.positions.row(j));
            let d: [f64; 3] = std::array::from_fn(|k| b[k] - a[k]);
            let r = d.iter().map(|x| x * x).sum::<f64>().sqrt();
            if r >= CUTOFF || r == 0.0 {
                continue;
            }
            let strength = 0.01 * f64::from(system.species[i] * system.species[j]);
            let rest = 1.0 - (r / CUTOFF).powi(2);
            let envelope = rest.powi(3);
            energy += strength * (-r).exp() * envelope;
            let slope = strength * (-r).exp() * (-6.0 * r / CUTOFF.powi(2) * rest.powi(2) - envelope);
            for k in 0..3 {
                forces[i][k] += slope * d[k] / r;
                forces[j][k] -= slope * d[k] / r;
            }
        }
    }
    (energy, forces)
}

fn main() {
    let sound = from_fn(description(), |system| {
        let (energy, forces) = pair_potential(system);
        vec![vec![energy], forces.into_flattened()]
    });
    let report = check(&sound, &Settings::default());
    println!("A pair potential\n{report}");
    assert!(report.passed);

    // A linear layer with a bias on a vector: one constant added to one component.
    let broken = from_fn(description(), |system| {
        let (energy, mut forces) = pair_potential(system);
        forces.iter_mut().for_each(|force| force[2] += 1e-3);
        vec![vec![energy], forces.into_flattened()]
    });
    let report = check(&broken, &Settings::default());
    println!("The same with a bias on its forces\n{report}");
    assert!(!report.passed);
}

#[test]
fn runs() {
    main();
}
