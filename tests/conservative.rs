//! Conservative potentials through the program: stress, what forces are, Hessian products, vibrations.

mod common;

use std::path::Path;
use std::process::Command;

use common::{Workspace, skipped, summary};
use isograd::prelude::*;
use serde_json::Value;

const CONFIG: &str = "[model]
width = 16
layers = 2
cutoff = 3.0
[train]
epochs = 8
batch_graphs = 8
learning_rate = 5e-3
ema_decay = 0.9
[run]
out = \"run\"
";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn the_check_after_training_has_the_rows_of_a_conservative_potential() {
    let space = Workspace::new(60, CONFIG);
    let table = space.succeed(&["train", "config.toml"]);
    assert!(table.contains("minus the gradient of the energy"), "{table}");
    let config = std::fs::read_to_string(space.path("run/config.toml")).unwrap();
    assert!(config.contains("forces = \"gradient\""), "{config}");
    let report = json(&space.succeed(&["check", "run", "--cases", "24", "--json"]));
    for name in ["forces = -dE/dx", "no net force", "no net torque"] {
        let rows = report["rows"].as_array().unwrap();
        let row = rows.iter().find(|row| row["transformation"] == name && row["output"] == "forces");
        assert!(row.is_some_and(|row| row["passed"] == true), "{name}: {report}");
    }
    // There is no stress where nothing is periodic.
    let metrics = summary(&space.path("run"))["best"]["validation"].clone();
    assert!(metrics.as_object().unwrap().keys().all(|key| !key.starts_with("stress")), "{metrics}");

    // A model of direct forces claims nothing of it, and says so.
    let direct = space.succeed(&["train", "config.toml", "--set", "model.forces=direct", "--out", "direct"]);
    assert!(direct.contains("direct, not the gradient of the energy"), "{direct}");
    let report = json(&space.succeed(&["check", "direct", "--cases", "4", "--json"]));
    let skips = report["skipped"].as_array().unwrap();
    assert!(skips.iter().any(|row| row["transformation"] == "forces = -dE/dx"), "{report}");

    // Net force and torque can be taken out of direct forces, and there are none to take out of others.
    let (_, _, said) = space.run(&["predict", "direct", "data.xyz", "-o", "plain.extxyz"]);
    assert!(said.contains("not the gradient of the energy"), "{said}");
    space.succeed(&["predict", "direct", "data.xyz", "-o", "balanced.extxyz", "--without-net-force"]);
    let net = |file: &str| {
        let read = isograd::data::Source::default().read_file(&space.path(file)).unwrap();
        let sums = read.map(|structure| {
            let forces = structure.unwrap().forces.unwrap();
            (0..3).map(|axis| forces.iter().map(|force| force[axis]).sum::<f64>().abs()).fold(0.0, f64::max)
        });
        sums.fold(0.0, f64::max)
    };
    assert!(net("plain.extxyz") > 1e-3 && net("balanced.extxyz") < 1e-6);
    let (code, _, error) = space.run(&["predict", "run", "data.xyz", "-o", "no.extxyz", "--without-net-force"]);
    assert!(code == 2 && error.contains("--without-net-force") && error.contains("have no net force"), "{error}");
}

#[test]
fn stresses_are_trained_evaluated_and_read_by_ase() {
    let space = Workspace::new(4, CONFIG);
    let metals = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/data/metals.extxyz.xz");
    let set = format!("data.files=[{:?}]", metals.display().to_string());
    let arguments =
        ["train", "config.toml", "--set", &set, "--set", "loss.stress_weight=100", "--set", "train.epochs=12"];
    let table = space.succeed(&arguments);
    assert!(table.contains("stress MAE"), "{table}");
    let found = summary(&space.path("run"));
    let value = |path: &str| found.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {found}"));
    let key = "stress_mae_mev_per_angstrom_3";
    let (error, baseline) = (value(&format!("/best/validation/{key}")), value(&format!("/baseline/{key}")));
    assert!(error < 0.8 * baseline, "{error} of {baseline}");
    let page = std::fs::read_to_string(space.path("run/report.html")).unwrap();
    assert!(page.contains("stress"));
    let report = json(&space.succeed(&["check", "run", "--cases", "24", "--only", "stress", "--json"]));
    assert!(report["passed"] == true && report["rows"][0]["transformation"] == "stress = dE/dstrain / V", "{report}");

    let cell =
        "2\nLattice=\"4 0 0 0.5 4 0 0 0.2 4\" Properties=species:S:1:pos:R:3 pbc=\"T T T\"\nCu 0 0 0\nCu 0 0 2.1\n";
    let free = "2\nProperties=species:S:1:pos:R:3\nCu 0 0 0\nCu 0 0 2.1\n";
    std::fs::write(space.path("both.xyz"), format!("{cell}{free}")).unwrap();
    space.succeed(&["predict", "run", "both.xyz", "-o", "out.xyz"]);
    let read = isograd::data::Source::default().read_file(&space.path("out.xyz")).unwrap();
    let read: Vec<Structure> = read.map(Result::unwrap).collect();
    // Without a cell there is none, rather than zero.
    assert!(read[0].stress.is_some() && read[1].stress.is_none());
    let potential = Potential::load(space.path("run"), DeviceName::Cpu).unwrap();
    assert!(potential.is_conservative());
    let own = potential.predict(&read).unwrap();
    assert!(own[1].stress.is_none());
    for (a, b) in own[0].stress.unwrap().as_flattened().iter().zip(read[0].stress.unwrap().as_flattened()) {
        assert!((a - b).abs() < 1e-7);
    }

    let python = std::env::var("ISOGRAD_PYTHON").unwrap_or_else(|_| "python3".into());
    let has_ase = Command::new(&python).args(["-c", "import ase.io"]).output();
    if !has_ase.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("ISOGRAD_REQUIRE_ASE").is_none(), "{python} has no ase");
        skipped(&format!("{python} has no ase"));
        return;
    }
    let script =
        "import ase.io, json; a = ase.io.read('out.xyz', 0); print(json.dumps(a.get_stress(voigt=False).tolist()))";
    let output = Command::new(python).args(["-c", script]).current_dir(space.path(".")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = json(&String::from_utf8(output.stdout).unwrap());
    for (row, own) in own[0].stress.unwrap().iter().enumerate() {
        for (column, own) in own.iter().enumerate() {
            assert!((read[row][column].as_f64().unwrap() - own).abs() < 1e-7, "{read}");
        }
    }
}

#[test]
fn what_cannot_be_is_said() {
    let space = Workspace::new(12, CONFIG);
    let refused = |arguments: &[&str], words: &[&str]| {
        let (code, _, error) = space.run(arguments);
        assert_eq!(code, 2, "{arguments:?}: {error}");
        assert!(words.iter().all(|word| error.contains(word)), "{arguments:?}: {error}");
    };
    let set = |pair: &'static [&'static str]| -> Vec<&'static str> {
        let sets = pair.iter().flat_map(|setting| ["--set", setting]);
        ["train", "config.toml", "--out", "no"].into_iter().chain(sets).collect()
    };
    refused(&set(&["model.forces=direct", "loss.stress_weight=1"]), &["loss.stress_weight", "gradient"]);
    refused(&set(&["loss.stress_weight=1"]), &["no frame has a stress", "keys.stress"]);
    refused(&set(&["model.forces=conservative"]), &["gradient", "direct", "displacement"]);
    let study = ["train", "config.toml", "--out", "no", "--set", "model={kind=\"study\", forces=\"gradient\"}"];
    refused(&study, &["forces", "positions", "direct"]);
    space.succeed(&["train", "config.toml", "--set", "model.forces=direct", "--set", "train.epochs=1"]);
    refused(&["vibrations", "run", "data.xyz"], &["not conservative", "gradient"]);
}

#[test]
fn hessian_products_and_vibrations_follow_the_forces() {
    let space = Workspace::new(40, CONFIG);
    space.succeed(&["train", "config.toml"]);
    let potential = Potential::load(space.path("run"), DeviceName::Cpu).unwrap();
    let read = isograd::data::Source::default().read_file(&space.path("data.xyz")).unwrap();
    let structure = read.map(Result::unwrap).last().unwrap();
    let atoms = structure.len();
    let along: Vec<[f64; 3]> = (0..atoms).map(|k| [(k as f64).sin(), 0.3, (2.0 * k as f64).cos()]).collect();
    let product = potential.calculator().hessian_product(&structure, &along).unwrap();
    // Single precision leaves three digits of a difference of forces.
    const STEP: f64 = 0.005;
    let moved = |step: f64| {
        let mut moved = structure.clone();
        for (x, d) in moved.geometry.positions.as_flattened_mut().iter_mut().zip(along.as_flattened()) {
            *x += step * d;
        }
        potential.predict(&[moved]).unwrap().remove(0).forces
    };
    let (ahead, behind) = (moved(STEP), moved(-STEP));
    let size = product.as_flattened().iter().fold(0.0, |most: f64, x| most.max(x.abs()));
    let slopes = ahead.as_flattened().iter().zip(behind.as_flattened()).map(|(a, b)| (b - a) / (2.0 * STEP));
    for (found, expected) in product.as_flattened().iter().zip(slopes) {
        assert!((found - expected).abs() < 0.02 * size, "{found} and {expected} of {size}");
    }
    assert!(potential.calculator().hessian_product(&structure, &along[1..]).is_err());

    let found = json(&space.succeed(&["vibrations", "run", "data.xyz", "--json"]));
    let modes = found["modes"].as_array().unwrap();
    assert_eq!(modes.len(), 3 * atoms - 6);
    let squares: f64 = modes
        .iter()
        .map(|mode| mode["wavenumber"].as_f64().unwrap().powi(2).copysign(mode["wavenumber"].as_f64().unwrap()))
        .sum();
    assert!(squares.is_finite() && squares != 0.0);
    let (_, table, warning) = space.run(&["vibrations", "run", "data.xyz"]);
    assert!(table.contains("1/cm") && table.contains("density of modes"), "{table}");
    assert!(warning.contains("the largest force is"), "{warning}");
}
