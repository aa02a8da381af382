//! The commands as a user meets them: outputs, files, messages, exit codes.

mod common;

use common::{Workspace, metrics, skipped};
use serde_json::Value;

const CONFIG: &str = "[model]
width = 16
layers = 2
cutoff = 3.0
[train]
epochs = 8
batch_graphs = 8
learning_rate = 5e-3
[run]
out = \"run\"
log_every = 5
";

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn train_eval_predict_end_to_end() {
    let space = Workspace::new(200, CONFIG);
    let table = space.succeed(&["train", "config.toml"]);
    assert!(table.contains("force MAE") && table.contains("peak memory") && table.contains("report.html"), "{table}");

    let summary = json(&std::fs::read_to_string(space.path("run/summary.json")).unwrap());
    let value =
        |path: &str| summary.pointer(path).and_then(Value::as_f64).unwrap_or_else(|| panic!("{path}: {summary}"));
    let force = value("/best/validation/force_mae_mev_per_angstrom");
    assert!(force < 0.7 * value("/baseline/force_mae_mev_per_angstrom"), "{summary}");
    assert!(
        value("/best/validation/energy_mae_mev_per_atom") < value("/baseline/energy_mae_mev_per_atom"),
        "{summary}"
    );
    assert_eq!(value("/train/epochs"), 8.0);
    assert!(value("/train/peak_bytes") > 1e5 && value("/parameters") > 1e3 && value("/train/edges_per_second") > 0.0);
    let lines = metrics(&space.path("run"));
    assert_eq!(lines.iter().filter(|line| line.get("validation").is_some()).count(), 8);
    let page = std::fs::read_to_string(space.path("run/report.html")).unwrap();
    assert_eq!(page.matches("<svg").count(), 10);
    assert!(!page.contains("http://") || page.matches("http://").count() == page.matches("http://www.w3.org").count());

    // The resolved config trains the same run again.
    space.succeed(&["train", "run/config.toml", "--out", "again"]);
    assert_eq!(metrics(&space.path("again")), lines);

    let report = json(&space.succeed(&["eval", "run", "data.xyz", "--json"]));
    assert_eq!(report["structures"], 200);
    let all = report.pointer("/metrics/force_mae_mev_per_angstrom").and_then(Value::as_f64).unwrap();
    assert!((all / force - 1.0).abs() < 0.5, "{report}");

    space.succeed(&["predict", "run", "data.xyz", "-o", "out.xyz"]);
    // Predictions evaluated as labels have no error but rounding.
    let own = json(&space.succeed(&["eval", "run", "out.xyz", "--json"]));
    let error = own.pointer("/metrics/force_mae_mev_per_angstrom").and_then(Value::as_f64).unwrap();
    assert!(error < 1e-3, "{own}");
    let text = std::fs::read_to_string(space.path("out.xyz")).unwrap();
    assert!(text.contains("reference_forces:R:3") && text.contains("system=s0") && text.contains("reference_energy="));
}

#[test]
fn ase_reads_predictions() {
    let python = std::env::var("ISOGRAD_PYTHON").unwrap_or_else(|_| "python3".into());
    let has_ase = std::process::Command::new(&python).args(["-c", "import ase.io"]).output();
    if !has_ase.is_ok_and(|output| output.status.success()) {
        assert!(std::env::var_os("ISOGRAD_REQUIRE_ASE").is_none(), "{python} has no ase");
        skipped(&format!("{python} has no ase"));
        return;
    }
    let space = Workspace::new(24, CONFIG);
    space.succeed(&["train", "config.toml", "--set", "train.epochs=1"]);
    let cell = "2\nLattice=\"4 0 0 0.5 4 0 0 0 4\" Properties=species:S:1:pos:R:3:tag:I:1 pbc=\"T F T\" note=\"two words\"\n\
                H 0 0 0 1\nO 0 0 1.2 2\n";
    std::fs::write(space.path("cell.xyz"), cell).unwrap();
    space.succeed(&["predict", "run", "cell.xyz", "-o", "out.xyz"]);
    let script = "import ase.io, json; a = ase.io.read('out.xyz'); print(json.dumps(dict(energy=a.get_potential_energy(), \
                  forces=a.get_forces().tolist(), cell=a.cell.array.tolist(), pbc=a.pbc.tolist(), note=a.info['note'], \
                  tag=a.arrays['tag'].tolist(), symbols=str(a.symbols))))";
    let output = std::process::Command::new(python).args(["-c", script]).current_dir(space.path(".")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let read = json(&String::from_utf8(output.stdout).unwrap());
    assert!(read["energy"].as_f64().is_some_and(f64::is_finite));
    assert_eq!(read["cell"][1], serde_json::json!([0.5, 4.0, 0.0]));
    assert_eq!(read["pbc"], serde_json::json!([true, false, true]));
    assert_eq!((read["note"].as_str(), read["symbols"].as_str()), (Some("two words"), Some("HO")));
    assert_eq!(read["tag"], serde_json::json!([1, 2]));
    assert_eq!(read["forces"].as_array().map(Vec::len), Some(2));
}

#[test]
fn wrong_input_is_one_message_and_exit_code_2() {
    let space = Workspace::new(12, CONFIG);
    let bad = |name: &str, text: &str| std::fs::write(space.path(name), text).unwrap();
    bad("cut.xyz", "2\nenergy=1\nH 0 0 0\n");
    bad("far.xyz", "1\nProperties=species:S:1:pos:R:3:forces:R:3 energy=1\nXe 0 0 0 1 1 1\n");
    bad("empty.xyz", "0\n\n");
    bad("noforces.xyz", "2\nenergy=-1\nH 0 0 0\nH 1 0 0\n2\nenergy=-1\nH 0 0 0\nH 1.1 0 0\n");
    bad("overlap.xyz", "2\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-1\nH 0 0 0 1 0 0\nH 0.1 0 0 -1 0 0\n");
    bad("typo.toml", "[data]\nfiles = [\"data.xyz\"]\n[train]\nepoch = 3\n");
    space.succeed(&["train", "config.toml", "--set", "train.epochs=1"]);
    let set = |files: &'static str| vec!["train", "config.toml", "--out", "other", "--set", files];
    let cases: Vec<(Vec<&str>, Vec<&str>)> = vec![
        (vec!["train", "missing.toml"], vec!["missing.toml"]),
        (vec!["train", "typo.toml"], vec!["typo.toml", "line 4", "did you mean `epochs`"]),
        (vec!["train", "config.toml", "--device", "tpu"], vec!["unknown device `tpu`"]),
        (set("data.files=[\"nowhere.xyz\"]"), vec!["nowhere.xyz"]),
        (set("data.files=[\"cut.xyz\"]"), vec!["cut.xyz:4: frame 0", "ends after 1 of 2 atoms"]),
        (set("data.files=[\"noforces.xyz\"]"), vec!["no frame has forces", "keys.forces"]),
        (set("data.files=[\"overlap.xyz\"]"), vec!["overlapping atoms", "overlap.xyz: frame 0", "filter"]),
        (set("data.split_by=nokey"), vec!["nokey"]),
        (set("train.over_budget=error train.batch_atoms=1"), vec!["over_budget"]),
        (
            vec!["train", "config.toml", "--out", "other", "--zero", "3", "--set", "train.parts=2"],
            vec!["parallel.zero"],
        ),
        (vec!["eval", "nowhere", "data.xyz"], vec!["nowhere", "not a run directory"]),
        (vec!["eval", "run", "far.xyz"], vec!["does not know Xe"]),
        (vec!["predict", "run", "far.xyz", "-o", "out.xyz"], vec!["far.xyz:1: frame 0", "does not know Xe"]),
        (vec!["predict", "run", "empty.xyz", "-o", "out.xyz"], vec!["empty.xyz:1: frame 0", "no atoms"]),
        (vec!["bench", "step", "--nodes", "0"], vec!["--nodes"]),
        (vec!["bench", "step", "--kind", "egn"], vec!["--kind", "`egn`", "painn"]),
        (vec!["bench", "step", "--kind", "gcn", "--forces", "displacement"], vec!["--forces", "\"direct\""]),
    ];
    for (arguments, expected) in cases {
        let (code, _, message) = space.run(&arguments);
        assert_eq!(code, 2, "{arguments:?}: {message}");
        for part in expected {
            assert!(message.contains(part), "{arguments:?}: {message}");
        }
        assert!(!message.contains("panicked"), "{message}");
    }
    assert!(!space.path("out.xyz").exists() && !space.path("out.partial").exists());
}

#[test]
fn filtered_frames_are_counted() {
    let space = Workspace::new(40, CONFIG);
    let overlap = "2\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-1\nH 0 0 0 1 0 0\nH 0.1 0 0 -1 0 0\n";
    let text = std::fs::read_to_string(space.path("data.xyz")).unwrap() + overlap;
    std::fs::write(space.path("data.xyz"), text).unwrap();
    let (code, _, log) =
        space.run(&["train", "config.toml", "--set", "data.suspicious=filter", "--set", "train.epochs=1"]);
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("1 frames with overlapping atoms were left out"), "{log}");
    let info = json(&space.succeed(&["data", "info", "data.xyz", "--json"]));
    assert_eq!(info.pointer("/sources/0/summary/faults/overlap"), Some(&serde_json::json!(1)), "{info}");
    assert_eq!(info.pointer("/sources/0/summary/frames"), Some(&serde_json::json!(41)));
}

#[test]
fn a_structure_over_the_budget_is_warned_of_or_refused() {
    let space = Workspace::new(24, CONFIG);
    let budget = ["train", "config.toml", "--set", "train.epochs=1", "--set", "train.batch_atoms=5", "--out"];
    let (code, _, log) = space.run(&[&budget[..], &["warned"]].concat());
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("over the batch budget on their own"), "{log}");
    let (code, _, log) = space.run(&[&budget[..], &["refused", "--set", "train.over_budget=error"]].concat());
    assert_eq!(code, 2, "{log}");
}

#[test]
fn two_sources_with_their_own_units_references_and_heads() {
    let space = Workspace::new(60, CONFIG);
    let config = "[data]
largest_force = 1e4
leakage = \"allow\"
[[data.sources]]
name = \"first\"
files = [\"data.xyz\"]
[[data.sources]]
name = \"second\"
files = [\"data.xyz\"]
units = { energy = \"Hartree\" }
references = { H = -50.0, C = -60.0, O = -70.0 }
[model]
width = 8
layers = 1
heads = \"per_source\"
[train]
epochs = 1
[run]
out = \"two\"
";
    std::fs::write(space.path("two.toml"), config).unwrap();
    let (code, _, log) = space.run(&["train", "two.toml"]);
    assert_eq!(code, 0, "{log}");
    assert!(log.contains("given") && log.contains("fitted") && log.contains("-50.0000"), "{log}");
    let mean = |source: &str| {
        space.succeed(&["predict", "two", "data.xyz", "-o", "p.xyz", "--source", source]);
        let text = std::fs::read_to_string(space.path("p.xyz")).unwrap();
        let energies =
            text.split(" energy=").skip(1).map(|rest| rest.split(' ').next().unwrap().parse::<f64>().unwrap());
        energies.sum::<f64>() / 60.0
    };
    assert!(mean("second") < 5.0 * mean("first"), "the sources predict energies of one size");
    let (code, _, message) = space.run(&["predict", "two", "data.xyz", "-o", "p.xyz", "--source", "third"]);
    assert_eq!(code, 2);
    assert!(message.contains("first, second"), "{message}");
}

#[test]
fn bench_step_has_the_keys_that_scripts_read() {
    let space = Workspace::new(4, CONFIG);
    let arguments = "bench step --nodes 32 --degree 4 --width 16 --layers 2 --steps 2 --warmup 1 --json";
    let report = json(&space.succeed(&arguments.split(' ').collect::<Vec<_>>()));
    for key in
        "framework device threads dtype nodes edges width layers parameters step_seconds_median step_seconds_min \
                edges_per_second peak_bytes loss message recompute kind forces gemm_flops plan"
            .split_whitespace()
    {
        assert!(report.get(key).is_some_and(|value| !value.is_null()), "{key}: {report}");
    }
    assert_eq!((&report["edges"], &report["layers"]), (&serde_json::json!(128), &serde_json::json!(2)));
    for kind in isograd::models::Registry::default().kinds() {
        let step = format!("{arguments} --kind {kind}");
        let report = json(&space.succeed(&step.split(' ').collect::<Vec<_>>()));
        assert_eq!((&report["kind"], report["gemm_flops"].is_null()), (&kind.into(), kind != "egnn"), "{report}");
        assert!(report["loss"].as_f64().is_some_and(f64::is_finite), "{report}");
    }
    assert!(json(&space.succeed(&["devices", "--json"]))["devices"].as_array().is_some_and(|all| all.len() >= 3));
    assert!(space.succeed(&["completions", "bash"]).contains("isograd"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let space = Workspace::new(4, CONFIG);
    let mut command = space.command(&["data", "info", "data.xyz"]);
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}
