//! The equivariance battery on the EGNN in every configuration, in single and double precision.
//!
//! `tests/equivariance.rs` of the root package runs the same on wgpu.

mod common;

use burn_flex::Flex;
use burn_ndarray::NdArray;
use common::{configs, verified};
use isograd_core::model::{EgnnConfig, Envelope};

const CASES: usize = 200;

#[test]
fn every_configuration_in_single_precision() {
    for (name, config) in configs() {
        let report = verified::<Flex>(name, &config, CASES, &Default::default());
        assert!(report.passed, "{name}\n{report}");
    }
}

#[test]
fn every_configuration_in_double_precision() {
    for (name, config) in configs() {
        let report = verified::<NdArray<f64>>(name, &config, CASES, &Default::default());
        assert!(report.passed, "{name}\n{report}");
    }
}

/// Without an envelope edges come and go with all their weight: the battery must see that, and
/// nothing else.
#[test]
fn without_an_envelope_only_the_cutoff_fails() {
    let (_, config) = configs().remove(0);
    let hard = EgnnConfig { envelope: Envelope::None, ..config };
    let report = verified::<NdArray<f64>>("no envelope", &hard, CASES, &Default::default());
    for row in &report.rows {
        let expected = row.transformation != "continuous at the cutoff";
        let slope = row.transformation == "smooth at the cutoff";
        assert!(slope || row.passed == expected, "{} of {}\n{report}", row.transformation, row.output);
    }
}
