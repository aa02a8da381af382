//! Reports: seeds that reproduce, counterexamples that are small, baselines, JSON, the assertion.

mod reference;

use isograd_equivariance::{Description, Precision, Question};
use isograd_equivariance::{Report, Settings, Transformation, assert_equivariant, check, from_fn};
use reference::{Fault, double, single};

fn settings() -> Settings {
    Settings { cases: 30, seed: 3, ..Settings::default() }
}

#[test]
fn the_same_seed_gives_the_same_report_and_a_row_s_seed_the_same_case() {
    let model = single(Fault::None);
    let report = check(&model, &settings());
    assert_eq!(report, check(&model, &settings()));
    let row = report.row("rotation", "forces").unwrap();
    assert!(row.error > 0.0);
    let only = Settings { only: Some("rotation".into()), case: Some(row.seed), ..settings() };
    let again = check(&model, &only);
    assert_eq!(again.row("rotation", "forces").unwrap().error, row.error);
    assert_eq!(again.row("rotation", "forces").unwrap().cases, 1);
}

#[test]
fn counterexamples_are_small_and_still_fail() {
    let report = check(&double(Fault::OneAxis, 3), &settings());
    let found = report.row("rotation", "charge").unwrap().counterexample.clone().unwrap();
    assert_eq!(found.case.systems[0].len(), 2);
    assert_ne!(found.found, found.expected);
    let Question::Transforms(Transformation::Orthogonal(matrix)) = &found.case.question else {
        panic!("{:?}", found.case.question)
    };
    // A quarter or half turn in a plane of two axes.
    assert!(matrix.values().iter().all(|x| [-1.0, 0.0, 1.0].contains(x)), "{matrix:?}");
    assert!(report.to_string().contains("rotation of charge: the smallest case found"));
}

#[test]
fn a_stress_is_shown_wrong_on_a_small_crystal_under_a_plain_strain() {
    let row = ["stress = dE/dstrain / V", "stress"];
    let only = Settings { only: Some(row[0].into()), ..settings() };
    for fault in [Fault::StressReversed, Fault::HalfVirial, Fault::ProductOfEdges, Fault::StrainedCellTransposed] {
        let report = check(&double(fault, 3), &only);
        let found = report.row(row[0], row[1]).unwrap().counterexample.clone().unwrap();
        let system = &found.case.systems[0];
        // In a wide cell a single node sees none of its images.
        assert!(system.len() <= 2 && system.periodic == [true; 3], "{fault:?}: {system:?}");
        assert!(system.cell.is_some() && found.found != found.expected, "{fault:?}: {found:?}");
        let Question::Strain(strain) = &found.case.question else { panic!("{:?}", found.case.question) };
        // The same swelling everywhere, a stretch of one axis, or a shear of two.
        let plain = |x: &f64| [0.0, 1.0, 0.5f64.sqrt(), (1.0 / 3.0f64).sqrt()].iter().any(|y| (x - y).abs() < 1e-12);
        assert!(strain.values().iter().all(plain), "{fault:?}: {strain:?}");
        assert!(report.to_string().contains("over the volume, along the strain [("), "{report}");
        assert_eq!(serde_json::from_str::<Report>(&report.to_json()).unwrap(), report);
    }
}

#[test]
fn baselines_find_what_has_grown_or_vanished() {
    let before = check(&single(Fault::None), &settings());
    let file = std::env::temp_dir().join(format!("isograd-baseline-{}.json", std::process::id()));
    before.save(&file).unwrap();
    let baseline = Report::load(&file).unwrap();
    std::fs::remove_file(&file).unwrap();
    assert_eq!(baseline, before);
    assert_eq!(before.regressions(&baseline, 1.5), []);

    let mut better = baseline.clone();
    let row = better.rows.iter_mut().find(|row| row.maximum > 1e-8).unwrap();
    (row.maximum, row.noise_floor) = (row.maximum / 10.0, row.noise_floor / 10.0);
    let (transformation, output) = (row.transformation.clone(), row.output.clone());
    let worse = before.regressions(&better, 4.0);
    assert!(worse.iter().any(|r| r.transformation == transformation && r.output == output), "{worse:?}");

    let part = check(&single(Fault::None), &Settings { only: Some("rotation".into()), ..settings() });
    let missing = part.regressions(&baseline, 4.0);
    assert!(missing.iter().all(|regression| regression.now.is_none()) && !missing.is_empty());
    assert!(Report::load(&file).unwrap_err().to_string().contains("isograd-baseline"));
}

#[test]
fn answers_that_are_none_fail_with_their_reason() {
    let wrong_length = from_fn(Description::new(3, Precision::F64).node_vector("forces"), |_| vec![vec![0.0; 3]]);
    let report = check(&wrong_length, &settings());
    let row = report.row("reflection", "forces").unwrap();
    assert!(!row.passed);
    let message = row.counterexample.as_ref().unwrap().message.clone().unwrap();
    assert!(message.contains("`forces` has 3 values"), "{message}");
    let json: serde_json::Value = serde_json::from_str(&report.to_json()).unwrap();
    assert!(json["rows"][0]["error"].is_null() && json["passed"] == false);
}

#[test]
fn an_output_that_is_always_zero_is_warned_of() {
    let nothing = from_fn(Description::new(2, Precision::F64).intensive_scalar("zero"), |_| vec![vec![0.0]]);
    let report = check(&nothing, &settings());
    assert!(report.passed && report.warnings[0].contains("`zero`"), "{:?}", report.warnings);
}

#[test]
#[should_panic(expected = "FAIL")]
fn the_assertion_shows_the_table() {
    assert_equivariant!(single(Fault::BiasOnVector), settings());
}
