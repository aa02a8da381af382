//! What a model claims beside equivariance: claims of several heads, claims that cannot be checked.

use isograd_equivariance::{Description, Outputs, Precision, Report, Settings, System, check, from_fn};

fn settings() -> Settings {
    Settings { cases: 20, ..Settings::default() }
}

/// Springs of length zero between all pairs: the energy is half of what their squared lengths add up
/// to. Two heads have different strengths; the forces of the second are `factor` times what they should be.
fn two_heads(factor: f64) -> Report {
    let description = Description::new(3, Precision::F64)
        .extensive_scalar("energy, soft")
        .node_vector("forces, soft")
        .extensive_scalar("energy, hard")
        .node_vector("forces, hard")
        .conservative("energy, soft", "forces, soft")
        .conservative("energy, hard", "forces, hard");
    let springs = |system: &System, strength: f64, factor: f64| -> Outputs {
        let (nodes, dimensions) = (system.len(), system.dimensions());
        let (mut energy, mut forces) = (0.0, vec![0.0; nodes * dimensions]);
        for (i, j) in (0..nodes).flat_map(|i| (0..nodes).map(move |j| (i, j))) {
            for d in 0..dimensions {
                let step = system.positions.row(j)[d] - system.positions.row(i)[d];
                energy += 0.25 * strength * step * step;
                forces[i * dimensions + d] += factor * strength * step;
            }
        }
        vec![vec![energy], forces]
    };
    let model = from_fn(description, move |system| [springs(system, 1.0, 1.0), springs(system, 7.0, factor)].concat());
    check(&model, &settings())
}

#[test]
fn every_head_has_its_own_claim() {
    let report = two_heads(1.0);
    assert!(report.passed, "{report}");
    let rows = report.rows.iter().filter(|row| row.transformation == "forces = -dE/dx");
    assert_eq!(rows.map(|row| row.output.as_str()).collect::<Vec<_>>(), ["forces, soft", "forces, hard"]);
}

#[test]
fn the_head_that_is_wrong_is_blamed() {
    let report = two_heads(1.001);
    assert!(report.row("forces = -dE/dx", "forces, soft").unwrap().passed);
    assert!(!report.row("forces = -dE/dx", "forces, hard").unwrap().passed);
}

fn refused(description: Description) -> String {
    let model = from_fn(description, |_| vec![]);
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&model, &settings()))).unwrap_err();
    panic.downcast_ref::<String>().unwrap().clone()
}

#[test]
fn claims_that_make_no_sense_are_refused() {
    let base = || Description::new(3, Precision::F64).extensive_scalar("energy").node_vector("forces");
    for (description, reason) in [
        (base().conservative("energy", "force"), "a claim about `force`, which is no output"),
        (base().conservative("forces", "forces"), "the energy `forces` is no scalar"),
        (base().conservative("energy", "energy"), "the forces `energy` are no vector of nodes"),
        (base().conservative("energy", "forces").conservative("energy", "forces"), "those of two energies"),
        (base().zero_sum("energy"), "`energy` is no vector of nodes"),
    ] {
        let message = refused(description);
        assert!(message.contains(reason), "{message}");
    }
}
