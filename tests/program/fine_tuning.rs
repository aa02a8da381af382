//! Training that starts from an earlier model: what is taken of it, what is new, what is frozen.

use std::path::Path;

use crate::common::{Workspace, assert_same_course, clusters, losses, summary};
use safetensors::SafeTensors;
use serde_json::Value as Json;

const CONFIG: &str = "split_by = \"system\"
[model]
width = 16
layers = 2
cutoff = 3.0
[train]
epochs = 20
batch_graphs = 8
learning_rate = 5e-3
[run]
out = \"first\"
";

/// What is tuned, in a folder of its own: the network is left out, so that it is that of the first run.
const TUNE: &str = "[data]
files = [\"new.xyz\"]
split_by = \"system\"
[train]
start_from = \"../first\"
epochs = 3
batch_graphs = 8
learning_rate = 1e-3
schedule = { kind = \"plateau\", warmup_steps = 5 }
[run]
log_every = 1
";

/// A first model of H, C and O, and new data with nitrogen in place of oxygen in every second frame.
fn space() -> Workspace {
    let space = Workspace::new(80, CONFIG);
    space.succeed(&["train", "config.toml"]);
    std::fs::create_dir(space.path("tune")).unwrap();
    let old = clusters(80).lines().count();
    let new: Vec<String> = clusters(140).lines().skip(old).map(str::to_owned).collect();
    std::fs::write(space.path("same.xyz"), new.join("\n")).unwrap();
    let mut frame = 0;
    let with_nitrogen = new.into_iter().map(|line| {
        frame += usize::from(line.contains("Properties"));
        if frame % 2 == 0 { line.replacen("O ", "N ", 1) } else { line }
    });
    std::fs::write(space.path("tune/new.xyz"), with_nitrogen.collect::<Vec<_>>().join("\n")).unwrap();
    std::fs::write(space.path("tune/tune.toml"), TUNE).unwrap();
    space
}

/// The values of a tensor of a run's best weights.
fn tensor(run: &Path, name: &str) -> Vec<u8> {
    let bytes = std::fs::read(run.join("best/model.safetensors")).unwrap();
    SafeTensors::deserialize(&bytes).unwrap().tensor(name).unwrap_or_else(|_| panic!("no {name}")).data().to_vec()
}

fn force_error(report: &Json) -> f64 {
    report["force_mae_mev_per_angstrom"].as_f64().unwrap()
}

#[test]
fn new_elements_are_added_and_the_start_may_be_the_best() {
    let space = space();
    let (code, _, said) = space.run(&["train", "tune/tune.toml", "--out", "tuned"]);
    assert_eq!(code, 0, "{said}");
    assert!(
        said.contains("first: ") && said.contains(" weights are taken") && said.contains("new: embedding (N)"),
        "{said}"
    );
    // The weights of the start are judged before any step; so is what becomes of them.
    assert!(said.contains("epoch    0  step       0"), "{said}");
    let found = summary(&space.path("tuned"));
    let start = &found["start"];
    assert_eq!((&start["new"], &start["new_parts"][0]), (&16.into(), &"embedding (N)".into()), "{start}");
    assert_eq!(start["taken"].as_u64().unwrap() + 16, found["parameters"].as_u64().unwrap());
    // Better than from nothing in as many steps.
    space.succeed(&[
        "train",
        "tune/tune.toml",
        "--out",
        "anew",
        "--set",
        "train.start_from=first",
        "--set",
        "model.width=16",
        "--set",
        "model.kind=egnn",
        "--set",
        "model.layers=2",
        "--set",
        "model.cutoff=3.0",
    ]);
    let errors = ["tuned", "anew"].map(|run| force_error(&summary(&space.path(run))["best"]["validation"]));
    assert!((errors[0] / errors[1] - 1.0).abs() < 1e-6, "the network may also be named: {errors:?}");
    let text = std::fs::read_to_string(space.path("tune/tune.toml")).unwrap();
    let nothing = text.replace("start_from = \"../first\"\n", "") + "[model]\nwidth = 16\nlayers = 2\ncutoff = 3.0\n";
    std::fs::write(space.path("tune/nothing.toml"), nothing).unwrap();
    space.succeed(&["train", "tune/nothing.toml", "--out", "nothing"]);
    let from_nothing = force_error(&summary(&space.path("nothing"))["best"]["validation"]);
    assert!(errors[0] < 0.7 * from_nothing, "{errors:?}, from nothing {from_nothing}");
    // Both say that their data are the same.
    let data = |run: &str| std::fs::read_to_string(space.path(run).join("start.json")).unwrap();
    let [tuned, nothing] = ["tuned", "nothing"].map(|run| serde_json::from_str::<Json>(&data(run)).unwrap());
    for part in ["training", "validation"] {
        assert_eq!(tuned[part], nothing[part]);
        assert_eq!(tuned[part]["hash"].as_str().unwrap().len(), 64);
    }
    // Both models know what the first one knew; oxygen too.
    space.succeed(&["predict", "tuned", "data.xyz", "-o", "p.xyz"]);
}

#[test]
fn without_a_step_it_is_the_model_that_it_was() {
    let space = space();
    std::fs::copy(space.path("same.xyz"), space.path("tune/new.xyz")).unwrap();
    let still =
        ["--set", "train.learning_rate=1e-12", "--set", "train.optimizer.weight_decay=0", "--set", "train.epochs=1"];
    space.succeed(&[&["train", "tune/tune.toml", "--out", "still"], &still[..]].concat());
    let eval =
        |run: &str| -> Json { serde_json::from_str(&space.succeed(&["eval", run, "same.xyz", "--json"])).unwrap() };
    let (before, after) = (eval("first"), eval("still"));
    for key in ["energy_mae_mev_per_atom", "force_mae_mev_per_angstrom"] {
        let [a, b] = [&before, &after].map(|report| report["metrics"][key].as_f64().unwrap());
        assert!(a > 0.0 && (a - b).abs() < 1e-4 * a, "{key}: {a} and {b}");
    }
    // With reference energies of its own it answers otherwise.
    space.succeed(
        &[&["train", "tune/tune.toml", "--out", "fitted", "--set", "data.references=fit"], &still[..]].concat(),
    );
    let fitted = eval("fitted")["metrics"]["energy_mae_mev_per_atom"].as_f64().unwrap();
    assert!((fitted / before["metrics"]["energy_mae_mev_per_atom"].as_f64().unwrap() - 1.0).abs() > 1e-3);
}

#[test]
fn what_is_frozen_stays_to_the_bit_on_any_number_of_ranks() {
    let space = space();
    let train = |out: &str, more: &[&str]| {
        let freeze = "train.freeze=[\"embedding\", \"layers.0\"]";
        // AdamW divides gradients by their own size: where they are nothing but rounding, ranks would differ.
        let epsilon = "train.optimizer.epsilon=1e-3";
        let arguments = ["train", "tune/tune.toml", "--out", out, "--set", freeze, "--set", epsilon];
        space.run(&[&arguments[..], more].concat())
    };
    for (optimizer, zero) in [("adamw", "1"), ("adamw", "3"), ("muon", "2")] {
        let kind = format!("train.optimizer.kind={optimizer}");
        let one = format!("{optimizer}-{zero}-one");
        let (code, _, said) = train(&one, &["--set", &kind]);
        assert!(code == 0 && said.contains("frozen: "), "{said}");
        let three = format!("{optimizer}-{zero}-three");
        // Broken off and gone on with on other ranks.
        let ranks = ["--ranks", "3", "--zero", zero, "--set", &kind];
        assert_eq!(train(&three, &[&ranks[..], &["--set", "train.epochs=2"]].concat()).0, 0);
        assert_eq!(train(&three, &["--ranks", "2", "--zero", zero, "--set", &kind, "--resume"]).0, 0);
        assert_same_course(&space.path(&three), &space.path(&one));
        assert!(losses(&space.path(&one)).len() > 10);
        let bytes = std::fs::read(space.path("first/best/model.safetensors")).unwrap();
        let names =
            SafeTensors::deserialize(&bytes).unwrap().names().into_iter().map(str::to_owned).collect::<Vec<_>>();
        for run in [&one, &three] {
            for name in names.iter().filter(|name| name.starts_with("layers.0.")) {
                assert_eq!(tensor(&space.path(run), name), tensor(&space.path("first"), name), "{run}: {name}");
            }
            let free = names.iter().filter(|name| name.starts_with("layers.1."));
            let moved = free.filter(|name| tensor(&space.path(run), name) != tensor(&space.path("first"), name));
            assert!(moved.count() > 0, "{run}: nothing moved");
        }
        let held = &summary(&space.path(&one))["train"]["ranks"][0]["held"];
        let ratio = held["optimizer"].as_f64().unwrap() / held["parameters"].as_f64().unwrap();
        assert!(ratio < 1.6, "frozen weights have moments: {ratio}");
    }
}

#[test]
fn heads_of_sources_are_taken_by_name() {
    let space = space();
    let source = |name: &str, file: &str| format!("[[data.sources]]\nname = \"{name}\"\nfiles = [\"{file}\"]\n");
    let head = "[data]\nsplit_by = \"system\"\nleakage = \"allow\"\n";
    let rest = "[model]\nwidth = 8\nlayers = 1\nheads = \"per_source\"\n[train]\nepochs = 1\n";
    let two = format!("{head}{}{}{rest}", source("a", "data.xyz"), source("b", "same.xyz"));
    std::fs::write(space.path("two.toml"), two).unwrap();
    space.succeed(&["train", "two.toml", "--out", "two"]);
    let still = "[model]\nheads = \"per_source\"\n[train]\nstart_from = \"two\"\nseed = 7\nepochs = 1\nlearning_rate = 1e-12\n[train.optimizer]\nweight_decay = 0\n";
    let swapped = format!("{head}{}{}{still}", source("c", "data.xyz"), source("b", "same.xyz"));
    std::fs::write(space.path("swapped.toml"), swapped).unwrap();
    let (code, _, said) = space.run(&["train", "swapped.toml", "--out", "swapped"]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("new: heads.0") && said.contains("left: heads.0"), "{said}");
    let name = "heads.1.energy.first.weight";
    let names = std::fs::read(space.path("two/best/model.safetensors")).unwrap();
    let names = SafeTensors::deserialize(&names).unwrap().names().join(" ");
    let name = names.split(' ').find(|own| own.starts_with("heads.1.")).unwrap_or(name);
    let distance = |a: &[u8], b: &[u8]| {
        let numbers =
            |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect::<Vec<_>>();
        numbers(a).iter().zip(numbers(b)).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
    };
    let [before, after] = ["two", "swapped"].map(|run| tensor(&space.path(run), name));
    assert!(distance(&before, &after) < 1e-6, "source b keeps its head");
    let other = name.replacen("heads.1", "heads.0", 1);
    let [before, after] = ["two", "swapped"].map(|run| tensor(&space.path(run), &other));
    assert!(distance(&before, &after) > 1e-3, "source c has a new one");
}

#[test]
fn what_does_not_fit_is_refused() {
    let space = space();
    for (set, expected) in [
        ("model.width=24", "they are different networks; leave [model] out to train the same one"),
        ("model.kind=schnet", "is of kind `egnn`, and model.kind is `schnet`"),
        ("train.start_from=nowhere", "nowhere"),
        (
            "train.freeze=[\"layer.0\"]",
            "`layer.0` names no parameter; the model has embedding, heads.0, layers.0, layers.1",
        ),
        ("train.freeze=[\"embedding\", \"layers\", \"heads\"]", "nothing is left to train"),
        ("data.references=begin", "expected one of `fit`, `start`, `isolated_atoms`"),
    ] {
        let (code, _, said) = space.run(&["train", "tune/tune.toml", "--out", "refused", "--set", set]);
        assert!(code == 2 && said.contains(expected), "{set}: {said}");
        assert!(!space.path("refused").exists());
    }
}
