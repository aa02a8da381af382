//! The commands as a user meets them: outputs, files, messages, exit codes.

use crate::common::{Workspace, metrics, skipped};
use isograd::data::{ColumnKey, Source};
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

    // What is predicted again has the same labels beside it, once.
    space.succeed(&["predict", "run", "out.xyz", "-o", "twice.xyz"]);
    let read = |name: &str| {
        let columns = vec![
            ColumnKey { key: "reference_energy".into(), of_nodes: false },
            ColumnKey { key: "reference_forces".into(), of_nodes: true },
        ];
        let frames = Source { columns, ..Source::default() }.read_file(&space.path(name)).unwrap();
        frames.map(Result::unwrap).collect::<Vec<_>>()
    };
    let (once, twice) = (read("out.xyz"), read("twice.xyz"));
    assert!(once.len() == 200 && once.iter().zip(&twice).all(|(once, twice)| once.columns == twice.columns));
    assert!(once.iter().all(|own| own.columns.len() == 2));

    // Results of another calculation are not taken for those of this one.
    let stale = "2\nProperties=species:S:1:pos:R:3:forces:R:3:magmoms:R:1:tag:I:1 energy=-3 free_energy=-3.5 note=mine\n\
                 H 0 0 0 0 0 1 0.123456789012 1\nH 0 0 0.8 0 0 -1 -1 2\n";
    std::fs::write(space.path("stale.xyz"), stale).unwrap();
    let text = space.succeed(&["predict", "run", "stale.xyz", "-o", "-"]);
    for kept in ["reference_free_energy=-3.5", "reference_magmoms:R:1", "tag:I:1", "note=mine", "0.123456789012"] {
        assert!(text.contains(kept), "{kept}: {text}");
    }
    assert!(!text.contains(" free_energy=") && !text.contains(":magmoms:"), "{text}");

    // Whoever may read the data may read the model.
    #[cfg(unix)]
    for name in ["best/model.safetensors", "summary.json"] {
        let permissions = |path: &str| space.path(path).metadata().unwrap().permissions();
        assert_eq!(permissions(&format!("run/{name}")), permissions("data.xyz"), "{name}");
    }
}

#[test]
fn training_that_is_too_short_is_warned_of_before_and_after() {
    let space = Workspace::new(40, CONFIG);
    let short = ["train", "config.toml", "--set", "train.epochs=1", "--set", "train.learning_rate=1e-9"];
    let (code, _, said) = space.run(&short);
    assert_eq!(code, 0, "{said}");
    let rising = "the learning rate rises for 100 steps, and training has about 5";
    assert_eq!(said.matches(rising).count(), 2, "{said}");
    let unlearned = said.contains("nothing was learned");
    let summary = json(&std::fs::read_to_string(space.path("run/summary.json")).unwrap());
    let warnings: Vec<&str> = summary["warnings"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(warnings.iter().any(|own| own.contains(rising)), "{warnings:?}");
    assert_eq!(warnings.iter().any(|own| own.contains("nothing was learned")), unlearned, "{said}");
    // What is trained long enough is not warned of.
    let long = space.run(&["train", "config.toml", "--out", "long", "--set", "train.epochs=60"]).2;
    assert!(!long.contains("learning rate rises") && !long.contains("nothing was learned"), "{long}");
}

#[test]
fn elements_that_nothing_was_learned_of_are_refused() {
    let space = Workspace::new(40, CONFIG);
    let listed = ["train", "config.toml", "--set", "model.elements=[\"H\", \"C\", \"O\", \"N\"]"];
    let (code, _, said) = space.run(&[&listed[..], &["--set", "train.epochs=1", "--out", "listed"]].concat());
    assert!(code == 0 && said.contains("model.elements has N, which no structure has"), "{said}");
    std::fs::write(space.path("nitrogen.xyz"), "2\nenergy=-3\nN 0 0 0\nH 0 0 1\n").unwrap();
    for command in [&["predict", "listed", "nitrogen.xyz", "-o", "never.xyz"][..], &["eval", "listed", "nitrogen.xyz"]]
    {
        let (code, _, said) = space.run(command);
        assert!(code == 2 && said.contains("was not trained on N"), "{said}");
    }
    assert!(!space.path("never.xyz").exists());
    // Named with their places, or left out with a count.
    let mixed = std::fs::read_to_string(space.path("data.xyz")).unwrap() + "2\nenergy=-3\nN 0 0 0\nH 0 0 1\n";
    std::fs::write(space.path("mixed.xyz"), mixed).unwrap();
    let (code, _, said) = space.run(&["eval", "listed", "mixed.xyz"]);
    assert!(code == 2 && said.contains("mixed.xyz: frame 40: the model was not trained on N"), "{said}");
    let (code, _, said) = space.run(&["eval", "listed", "mixed.xyz", "--skip-unknown"]);
    assert!(code == 0 && said.contains("1 of 41 left out for their elements"), "{said}");
    let (code, text, said) = space.run(&["predict", "listed", "mixed.xyz", "-o", "-", "--skip-unknown"]);
    assert!(code == 0 && said.contains("(first: frame 40)") && text.matches(" energy=").count() == 40, "{said}");
    let some = ["train", "config.toml", "--out", "none", "--set", "data.references={ H = -1.0, O = -3.0 }"];
    let (code, _, said) = space.run(&some);
    assert!(code == 2 && said.contains("`references` has none of C"), "{said}");
    assert!(!space.path("none").exists());
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
    bad("others.xyz", "1\nProperties=species:S:1:pos:R:3:dft_forces:R:3 dft_energy=-1\nH 0 0 0 1 0 0\n");
    bad("overlap.xyz", "2\nProperties=species:S:1:pos:R:3:forces:R:3 energy=-1\nH 0 0 0 1 0 0\nH 0.1 0 0 -1 0 0\n");
    bad("typo.toml", "[data]\nfiles = [\"data.xyz\"]\n[train]\nepoch = 3\n");
    space.succeed(&["train", "config.toml", "--set", "train.epochs=1"]);
    let set = |files: &'static str| vec!["train", "config.toml", "--out", "other", "--set", files];
    let cases: Vec<(Vec<&str>, Vec<&str>)> = vec![
        (vec!["train", "missing.toml"], vec!["missing.toml"]),
        (vec!["train", "typo.toml"], vec!["typo.toml:4:1: ", "4 | epoch = 3", "did you mean `epochs`"]),
        (vec!["train", "config.toml", "--device", "tpu"], vec!["unknown device `tpu`"]),
        (set("data.files=[\"nowhere.xyz\"]"), vec!["nowhere.xyz"]),
        (set("data.files=[\"cut.xyz\"]"), vec!["cut.xyz:4: frame 0", "ends after 1 of 2 atoms"]),
        (set("data.files=[\"noforces.xyz\"]"), vec!["no frame has forces", "keys.forces"]),
        (set("data.files=[\"others.xyz\"]"), vec!["set keys = { energy = \"dft_energy\", forces = \"dft_forces\" }"]),
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
    for command in [&["predict", "two", "data.xyz", "-o", "q.xyz"][..], &["eval", "two", "data.xyz"]] {
        let (code, _, message) = space.run(command);
        assert!(code == 2 && message.contains("--source: is left out"), "{message}");
        assert!(message.contains("several sources: first, second"), "{message}");
    }
    assert!(!space.path("q.xyz").exists());
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
