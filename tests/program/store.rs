//! `isograd data pack` and `convert`, and training from a store: the same course as from the files that are in it.

use crate::common::{Workspace, metrics, summary};
use serde_json::Value;

/// What follows the files of `[data]`.
const CONFIG: &str = "split_by = \"system\"
[model]
width = 16
layers = 2
cutoff = 3.0
[train]
epochs = 3
batch_graphs = 8
learning_rate = 5e-3
[run]
out = \"run\"
log_every = 5
";

/// What the program says where the input is wrong.
fn refused(space: &Workspace, arguments: &[&str]) -> String {
    let (code, _, said) = space.run(arguments);
    assert_eq!(code, 2, "{said}");
    said
}

#[test]
fn training_from_a_store_is_training_from_its_files() {
    let space = Workspace::new(120, CONFIG);
    let pack = ["data", "pack", "data.xyz", "-o", "data.store", "--cutoff", "3", "--group-key", "system"];
    let table = space.succeed(&pack);
    assert!(table.contains("graphs") && table.contains("120") && table.contains("fingerprint"), "{table}");
    space.succeed(&["train", "config.toml"]);
    space.succeed(&["train", "config.toml", "--set", "data.files=[\"data.store\"]", "--out", "stored"]);
    let expected = metrics(&space.path("run"));
    assert_eq!(metrics(&space.path("stored")), expected);
    // Two ranks, which read their own graphs.
    let ranks = ["train", "config.toml", "--set", "data.files=[\"data.store\"]", "--set", "parallel.ranks=2"];
    space.succeed(&[&ranks[..], &["--out", "ranks"]].concat());
    let last = |run: &str| {
        let lines = metrics(&space.path(run));
        lines.iter().rev().find_map(|line| line.pointer("/validation/force_mae_mev_per_angstrom")?.as_f64()).unwrap()
    };
    let (one, two) = (last("stored"), last("ranks"));
    assert!((one / two - 1.0).abs() < 1e-3, "{one} {two}");
    // Other commands read it as well.
    let all = |files: &str| {
        let report: Value = serde_json::from_str(&space.succeed(&["eval", "run", files, "--json"])).unwrap();
        report.pointer("/metrics/energy_mae_mev_per_atom").and_then(Value::as_f64).unwrap()
    };
    assert_eq!(all("data.store"), all("data.xyz"));
    let found = |files: &str| -> Value {
        let found: Value = serde_json::from_str(&space.succeed(&["data", "info", files, "--json"])).unwrap();
        found["sources"][0]["summary"].clone()
    };
    let (stored, read) = (found("data.store"), found("data.xyz"));
    for key in ["frames", "atoms", "elements", "with_energy", "with_forces", "periodic", "faults", "energy_per_atom"] {
        assert_eq!(stored[key], read[key], "{key}");
    }
    // A graph that is damaged ends the work with its shard's name.
    let shard = std::fs::read_dir(space.path("data.store/shards")).unwrap().next().unwrap().unwrap().path();
    let mut bytes = std::fs::read(&shard).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle..middle + 400].fill(0x55);
    std::fs::write(&shard, bytes).unwrap();
    let message = refused(&space, &["train", "config.toml", "--set", "data.files=[\"data.store\"]", "--out", "broken"]);
    assert!(message.contains("000000-0000.arrow: is damaged"), "{message}");
}

#[test]
fn samples_in_memory_are_trained_on_as_those_in_files() {
    let space = Workspace::new(80, CONFIG);
    space.succeed(&["data", "pack", "data.xyz", "-o", "data.store", "--cutoff", "3", "--group-key", "system"]);
    let train = |ranks: &str, out: &str, more: &[&str]| {
        let stored = ["train", "config.toml", "--set", "data.files=[\"data.store\"]", "--ranks", ranks, "--out", out];
        space.succeed(&[&stored[..], more].concat());
        (metrics(&space.path(out)), summary(&space.path(out)))
    };
    for ranks in ["1", "2", "3"] {
        let (expected, all) = train(ranks, &format!("files-{ranks}"), &[]);
        for resident in ["ranks", "node"] {
            let set = format!("data.resident={resident}");
            let (found, own) = train(ranks, &format!("{resident}-{ranks}"), &["--set", &set]);
            assert_eq!(found, expected, "{resident}, {ranks} ranks");
            assert_eq!(own["baseline"], all["baseline"]);
        }
    }
    let each = ["--set", "data.resident=ranks", "--set", "data.replica_width=1"];
    assert_eq!(train("2", "each", &each).0, metrics(&space.path("files-2")));
    // Where a run goes on, samples may be elsewhere than before.
    let more = ["--resume", "--set", "data.resident=ranks", "--set", "train.epochs=4"];
    assert!(train("2", "files-2", &more).0.len() > metrics(&space.path("each")).len());

    let fails = |set: &[&str]| {
        let train = ["train", "config.toml", "--out", "none", "--set", "data.resident=ranks"];
        let message = refused(&space, &[&train[..], set].concat());
        assert!(!space.path("none").exists());
        message
    };
    assert!(fails(&[]).contains("resident is of stores, and no source is one"));
    let uneven = ["--set", "data.files=[\"data.store\"]", "--set", "data.replica_width=2", "--ranks", "3"];
    assert!(fails(&uneven).contains("replica_width is 2, which does not divide 3 ranks"));
}

#[test]
fn what_a_store_cannot_do_is_said() {
    let space = Workspace::new(40, CONFIG);
    space.succeed(&["data", "pack", "data.xyz", "-o", "data.store", "--cutoff", "4"]);
    let train = |more: &[&str]| {
        let train = ["train", "config.toml", "--set", "data.files=[\"data.store\"]", "--out", "none"];
        refused(&space, &[&train[..], more].concat())
    };
    let message = train(&["--set", "data.split_by=\"frame\""]);
    assert!(message.contains("has numbers of edges within [4.0] angstrom, not 3; pack"), "{message}");
    let message = train(&["--set", "model.cutoff=4"]);
    assert!(message.contains("was packed without groups, and groups by `system` are asked for"), "{message}");
    let units =
        ["--set", "model.cutoff=4", "--set", "data.split_by=\"frame\"", "--set", "data.units={energy=\"Hartree\"}"];
    assert!(train(&units).contains("is a store, whose labels have their names and units"));
    let message = refused(&space, &["data", "pack", "data.xyz", "-o", "config.toml"]);
    assert!(message.contains("config.toml"), "{message}");
}

#[test]
fn files_are_converted_without_loss() {
    let space = Workspace::new(12, CONFIG);
    space.succeed(&["data", "convert", "data.xyz", "-o", "out.extxyz.gz"]);
    space.succeed(&["data", "convert", "out.extxyz.gz", "-o", "back.xyz"]);
    let read = |name: &str| {
        let frames = isograd::data::Source::default().read_file(&space.path(name)).unwrap();
        frames.map(Result::unwrap).collect::<Vec<_>>()
    };
    assert_eq!(read("out.extxyz.gz"), read("data.xyz"));
    assert_eq!(read("back.xyz"), read("data.xyz"));
    assert!(std::fs::read(space.path("out.extxyz.gz")).unwrap().starts_with(&[0x1f, 0x8b]));
    let message = refused(&space, &["data", "convert", "data.xyz", "--reference", "adsorption", "-o", "never.xyz"]);
    assert!(message.contains("frame 0: has no adsorption energy") && !space.path("never.xyz").exists(), "{message}");
    let text = space.succeed(&["data", "convert", "data.xyz", "-o", "-"]);
    assert_eq!(text, std::fs::read_to_string(space.path("back.xyz")).unwrap());
}
