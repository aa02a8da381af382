//! Every registered architecture, with every option, through the suite.

use isograd_tasks::Forces;
use isograd_testing::{Subject, equivariance, every_subject, gradients, ranks, recomputation, resuming};

/// Runs a check on all and says at the end which have failed.
fn each(check: impl Fn(&Subject) + std::panic::RefUnwindSafe) {
    let mut failed = Vec::new();
    for subject in every_subject() {
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(&subject)));
        if outcome.is_err() {
            failed.push(subject.name);
        }
    }
    assert!(failed.is_empty(), "{failed:?} do not conform; the messages above say why");
}

#[test]
fn recomputation_policies_agree_to_the_bit() {
    each(recomputation::agrees);
}

#[test]
fn gradients_match_finite_differences() {
    each(gradients::match_finite_differences);
}

#[test]
fn forces_and_stress_match_finite_differences() {
    each(|subject| {
        if subject.forces == Forces::Gradient {
            gradients::derivatives_match_finite_differences(subject);
            gradients::hessian_products_match_finite_differences(subject);
        }
    });
}

#[test]
fn ranks_and_zero_levels_agree() {
    each(ranks::agree);
}

#[test]
fn ranks_and_zero_levels_agree_in_double_precision() {
    each(|subject| {
        if ["egnn", "egnn, everything", "painn"].contains(&subject.name.as_str()) {
            ranks::agree_in_f64(subject);
        }
    });
}

#[test]
fn a_model_read_back_goes_on_alike() {
    each(resuming::agrees);
}

#[test]
fn the_equivariance_battery_holds() {
    // Conservative potentials predict the same energies, by three times the work.
    each(|subject| equivariance::holds(subject, if subject.forces == Forces::Gradient { 40 } else { 120 }));
}

#[test]
fn the_equivariance_battery_holds_in_the_plane() {
    each(|subject| equivariance::holds(&subject.clone().dims(2), 30));
}

#[test]
fn the_equivariance_battery_holds_in_four_dimensions() {
    each(|subject| equivariance::holds(&subject.clone().dims(4), 30));
}
