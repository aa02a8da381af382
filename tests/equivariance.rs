//! The equivariance battery where it is used: on GPUs, and by the program on trained potentials.

mod common;

use common::{Workspace, gpus};
use isograd::equivariance::Report;
use isograd::train::{Backend, RunOn, dispatch};
use isograd_testing::{Subject, equivariance, every_subject};

const CONFIG: &str = "split_by = \"system\"
[model]
width = 8
layers = 2
cutoff = 3.0
[train]
epochs = 2
";

/// The battery on a device: all subjects, or, with fewer cases, each kind once, the EGNN with all its options, and two
/// conservative potentials.
struct Battery {
    all: bool,
}

impl RunOn for Battery {
    type Output = Vec<(Subject, Report)>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        let conservative = ["egnn, moving, conservative", "painn, conservative"];
        let chosen =
            [&["egnn", "egnn, everything", "schnet", "painn", "moments", "gcn", "gat"][..], &conservative].concat();
        let chosen = |subject: &Subject| self.all || chosen.contains(&subject.name.as_str());
        let cases = if self.all { 60 } else { 20 };
        let checked = |subject: Subject| {
            let report = equivariance::report::<B>(&subject, cases, &device);
            (subject, report)
        };
        every_subject().into_iter().filter(chosen).map(checked).collect()
    }
}

#[test]
fn every_kind_on_gpus() {
    for device in gpus() {
        // wgpu may stand on a software driver, which is slow.
        let all = device == "cuda";
        for (subject, report) in dispatch(&device.parse().unwrap(), Battery { all }).unwrap() {
            equivariance::judge(&subject, &report);
        }
    }
}

#[test]
fn every_run_is_checked_and_check_says_the_same() {
    let space = Workspace::new(80, CONFIG);
    let table = space.succeed(&["train", "config.toml", "--out", "run"]);
    assert!(table.contains("equivariance"), "{table}");
    let read = |name: &str| std::fs::read_to_string(space.path(name)).unwrap();
    let summary: serde_json::Value = serde_json::from_str(&read("run/summary.json")).unwrap();
    assert_eq!(summary["equivariance"]["passed"], true);
    assert!(summary["equivariance"]["worst"]["error"].as_f64().unwrap() < 1e-4);
    let page = read("run/report.html");
    assert!(page.contains("Equivariance") && page.contains("lattice basis"));

    let json = space.succeed(&["check", "run", "--json", "--cases", "20"]);
    let report: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(report["passed"], true);
    let rows = report["rows"].as_array().unwrap();
    assert!(rows.len() > 30);
    for row in rows {
        for key in ["transformation", "output", "error", "noise_floor", "tolerance", "passed", "seed"] {
            assert!(!row[key].is_null(), "{key} is missing in {row}");
        }
    }

    // The seed of a row gives the same case again.
    let row = rows.iter().find(|row| row["transformation"] == "rotation" && row["output"] == "forces").unwrap();
    let seed = row["seed"].to_string();
    let again = space.succeed(&["check", "run", "--json", "--only", "rotation", "--case", &seed]);
    let again: serde_json::Value = serde_json::from_str(&again).unwrap();
    let again = again["rows"].as_array().unwrap().iter().find(|row| row["output"] == "forces").unwrap().clone();
    // Alone, not in a batch with others: its rounding may differ.
    let difference = again["error"].as_f64().unwrap() - row["error"].as_f64().unwrap();
    assert!(difference.abs() < 4.0 * row["noise_floor"].as_f64().unwrap(), "{again} instead of {row}");
    assert_eq!(again["cases"], 1);

    let (code, _, message) = space.run(&["check", "run", "--only", "rotatoin"]);
    assert_eq!(code, 2);
    assert!(message.contains("rotatoin"), "{message}");
}

#[test]
fn an_error_that_grew_is_found_while_it_still_passes() {
    let space = Workspace::new(80, CONFIG);
    space.succeed(&["train", "config.toml", "--out", "run"]);
    let json = space.succeed(&["check", "run", "--json", "--cases", "20"]);
    std::fs::write(space.path("baseline.json"), &json).unwrap();
    let check = ["check", "run", "--cases", "20", "--baseline", "baseline.json"];
    space.succeed(&check);

    // A baseline of a better model: one of its errors was ten times smaller.
    let mut baseline: serde_json::Value = serde_json::from_str(&json).unwrap();
    let rows = baseline["rows"].as_array_mut().unwrap();
    let row = rows.iter_mut().find(|row| row["transformation"] == "rotation" && row["output"] == "forces").unwrap();
    for key in ["maximum", "noise_floor"] {
        row[key] = (row[key].as_f64().unwrap() / 10.0).into();
    }
    std::fs::write(space.path("baseline.json"), baseline.to_string()).unwrap();
    let (code, stdout, message) = space.run(&check);
    assert_eq!(code, 1);
    assert!(stdout.contains("worse than the baseline: rotation of forces"), "{stdout}");
    assert!(message.contains("grown since the baseline"), "{message}");

    std::fs::write(space.path("baseline.json"), "{}").unwrap();
    let (code, _, message) = space.run(&check);
    assert_eq!(code, 2);
    assert!(message.contains("baseline.json: is not a report"), "{message}");
}
