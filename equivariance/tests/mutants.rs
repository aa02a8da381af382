//! The harness under test: every broken model is caught by the row that should catch it, and a
//! correct model raises no false alarm.
#![allow(clippy::print_stdout, reason = "a table of what each mutant needed")]

mod reference;

use isograd_equivariance::{Settings, check};
use reference::{Fault, double, single};

/// Fault, the row that must fail, and a row that must still pass, so that the right one is blamed.
const MUTANTS: [(Fault, [&str; 2], [&str; 2]); 30] = [
    (Fault::BiasOnVector, ["rotation", "forces"], ["rotation", "energy"]),
    (Fault::RawCoordinates, ["translation by 1", "energy"], ["node permutation", "energy"]),
    (Fault::OneAxis, ["rotation", "charge"], ["translation by 1", "charge"]),
    (Fault::CrossProduct, ["reflection", "dipole"], ["rotation", "dipole"]),
    (Fault::MissingShift, ["wrapping", "forces"], ["separated systems add up", "forces"]),
    (Fault::MeanOverRanks, ["node permutation", "mean density"], ["rotation", "mean density"]),
    (Fault::SwappedEnds, ["forces = -dE/dx", "forces"], ["rotation", "forces"]),
    (Fault::HardCutoff, ["continuous at the cutoff", "energy"], ["rotation", "energy"]),
    (Fault::LinearEnvelope, ["smooth at the cutoff", "energy"], ["continuous at the cutoff", "energy"]),
    (Fault::CellTransposed, ["rotation", "energy"], ["separated systems add up", "energy"]),
    (Fault::MeanPooling, ["supercell", "energy"], ["rotation", "energy"]),
    (Fault::HalfGeometry, ["rotation", "energy"], ["node permutation", "energy"]),
    (Fault::NodeOrder, ["node permutation", "energy"], ["rotation", "energy"]),
    (Fault::EdgeOrder, ["edge permutation", "energy"], ["batch = singles", "energy"]),
    (Fault::NeighbourLimit, ["node permutation", "energy"], ["rotation", "energy"]),
    (Fault::Leakage, ["no leakage between graphs", "energy"], ["no leakage between graphs", "forces"]),
    (Fault::SlightAnisotropy, ["rotation", "forces"], ["rotation", "energy"]),
    (Fault::DivisionByDistance, ["duplicate nodes", "forces"], ["rotation", "forces"]),
    (Fault::DivisionByNeighbours, ["single node", "charge"], ["single node", "energy"]),
    (Fault::PlainForces, ["rotation", "forces"], ["rotation", "energy"]),
    (Fault::ForcesReversed, ["forces = -dE/dx", "forces"], ["no net force", "forces"]),
    (Fault::OwnSlopeOnly, ["forces = -dE/dx", "forces"], ["stress = dE/dstrain / V", "stress"]),
    (Fault::OwnSlopeOnly, ["no net force", "forces"], ["rotation", "forces"]),
    (Fault::RelativeVelocities, ["no net torque", "forces"], ["no net force", "forces"]),
    (Fault::StressReversed, ["stress = dE/dstrain / V", "stress"], ["lattice basis", "stress"]),
    (Fault::SlightStress, ["stress = dE/dstrain / V", "stress"], ["supercell", "stress"]),
    (Fault::HalfVirial, ["stress = dE/dstrain / V", "stress"], ["supercell", "stress"]),
    (Fault::StrainedCellTransposed, ["stress = dE/dstrain / V", "stress"], ["translation by 1", "stress"]),
    (Fault::StrainedCellTransposed, ["rotation", "stress"], ["forces = -dE/dx", "forces"]),
    (Fault::ProductOfEdges, ["stress = dE/dstrain / V", "stress"], ["rotation", "stress"]),
];

fn passes(fault: Fault, row: [&str; 2], cases: usize, precise: bool) -> bool {
    let settings = Settings { cases, only: Some(row[0].to_owned()), ..Settings::default() };
    let report = if precise { check(&double(fault, 3), &settings) } else { check(&single(fault), &settings) };
    report.row(row[0], row[1]).unwrap_or_else(|| panic!("no row {row:?}")).passed
}

#[test]
fn every_mutant_is_caught_by_the_right_row() {
    println!("{:<22} {:<34} {:<16} {:>6} {:>6}   cases until caught", "mutant", "row", "output", "f32", "f64");
    for (fault, row, intact) in MUTANTS {
        let needed = [false, true].map(|precise| {
            [1, 2, 4, 8, 16, 32, 64, 128].into_iter().find(|&cases| !passes(fault, row, cases, precise))
        });
        let shown = needed.map(|cases| cases.map_or("never".into(), |cases| cases.to_string()));
        println!("{:<22} {:<34} {:<16} {:>6} {:>6}", format!("{fault:?}"), row[0], row[1], shown[0], shown[1]);
        assert!(needed.iter().all(Option::is_some), "{fault:?} was not caught by {row:?}: {shown:?}");
        for precise in [false, true] {
            assert!(passes(Fault::None, row, 128, precise), "{row:?} fails without the fault, f64: {precise}");
            assert!(passes(fault, intact, 64, precise), "{fault:?} is blamed on {intact:?} too, f64: {precise}");
        }
    }
}

#[test]
fn a_correct_model_raises_no_false_alarm() {
    // 24 properties: 440 cases of each are more than 10,000.
    for seed in [1, 2] {
        let settings = Settings { cases: 440, seed, ..Settings::default() };
        for report in [check(&single(Fault::None), &settings), check(&double(Fault::None, 3), &settings)] {
            let mut names: Vec<&str> = report.rows.iter().map(|row| row.transformation.as_str()).collect();
            names.dedup();
            let cases = names.len() * settings.cases;
            println!("seed {seed}, {:?}: {cases} cases, {} rows", report.precision, report.rows.len());
            assert!(cases >= 10_000 && report.warnings.is_empty(), "{cases} cases, {:?}", report.warnings);
            assert!(report.passed, "{report}");
        }
    }
}

#[test]
fn other_dimensions() {
    for dimensions in [1, 2, 4] {
        let report = check(&double(Fault::None, dimensions), &Settings { cases: 40, ..Settings::default() });
        assert!(report.passed, "{dimensions} dimensions\n{report}");
        let broken = check(&double(Fault::BiasOnVector, dimensions), &Settings { cases: 40, ..Settings::default() });
        assert!(!broken.row("reflection", "forces").unwrap().passed);
    }
}
