//! The real program as several ranks, threads of one process: snapshots go on with any number of ranks, and
//! damaged ones are refused. `mpirun.rs` has the processes.

use crate::common::{RANKS as CONFIG, Workspace, assert_same_course, losses, summary};

#[test]
fn snapshots_go_on_with_any_number_of_ranks() {
    // Moments of a parameter, at least and at most: under Muon matrices have one.
    for (optimizer, least, most) in [("adamw", 1.98, 2.02), ("muon", 1.02, 1.6)] {
        go_on(&format!("train.optimizer.kind={optimizer}"), least, most);
    }
}

fn go_on(optimizer: &str, least: f64, most: f64) {
    let space = Workspace::new(160, CONFIG);
    space.succeed(&["train", "config.toml", "--out", "whole", "--set", optimizer]);
    assert!(losses(&space.path("whole")).len() > 25);
    let parts = [("1", "0", "2"), ("4", "1", "3"), ("3", "3", "4"), ("2", "2", "5"), ("1", "0", "6")];
    for (ranks, zero, epochs) in parts {
        let epochs = format!("train.epochs={epochs}");
        let arguments = ["train", "config.toml", "--out", "parts", "--resume", "--ranks", ranks, "--zero", zero];
        let stdout = space.succeed(&[&arguments[..], &["--set", &epochs, "--set", optimizer]].concat());
        assert_eq!(stdout.matches("parameters").count(), 1, "one rank prints: {stdout}");
        let train = &summary(&space.path("parts"))["train"];
        let rows = train["ranks"].as_array().unwrap();
        assert_eq!(rows.len(), ranks.parse::<usize>().unwrap());
        let held = |key: &str| rows.iter().map(|row| row["held"][key].as_u64().unwrap()).sum::<u64>() as f64;
        // Weights and moments, each in single precision, over all ranks together.
        let parameters = summary(&space.path("parts"))["parameters"].as_f64().unwrap();
        let copies = if zero == "0" { rows.len() as f64 } else { 1.0 };
        let moments = held("optimizer") / (4.0 * copies * parameters);
        assert!((least..most).contains(&moments), "{optimizer}: {moments} moments of a parameter");
        let copies = if zero == "3" { 1.0 } else { rows.len() as f64 };
        assert!((held("parameters") / (4.0 * copies * parameters) - 1.0).abs() < 0.02);
    }
    assert_same_course(&space.path("parts"), &space.path("whole"));
    let report = std::fs::read_to_string(space.path("parts/report.html")).unwrap();
    assert!(!report.contains("waits for ranks"), "there was one rank");
}

#[test]
fn ranks_without_work_take_part() {
    // A structure a step, and four to predict, for three ranks.
    let space = Workspace::new(24, CONFIG);
    let few = ["--set", "train.batch_graphs=1", "--set", "data.validation_fraction=0.17", "--set", "train.epochs=2"];
    let train = |out: &str, more: &[&str]| {
        space.succeed(&[&["train", "config.toml", "--out", out, "--set", "parallel.timeout=20"], &few, more].concat());
    };
    train("one", &[]);
    for zero in ["1", "3"] {
        train(zero, &["--ranks", "3", "--zero", zero]);
        assert_same_course(&space.path(zero), &space.path("one"));
    }
}

#[test]
fn a_damaged_snapshot_is_refused_on_all_ranks() {
    let space = Workspace::new(80, CONFIG);
    let resume = ["train", "config.toml", "--out", "run", "--resume", "--ranks", "2", "--set", "train.epochs=3"];
    space.succeed(&["train", "config.toml", "--out", "run", "--ranks", "3", "--set", "train.epochs=2"]);
    let snapshots = space.path("run/snapshots");
    let mut steps: Vec<usize> = std::fs::read_dir(&snapshots)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().strip_prefix("step-").unwrap().parse().unwrap())
        .collect();
    steps.sort_unstable();
    let [before, last] = steps[..] else { panic!("{steps:?}") };
    let shard = snapshots.join(format!("step-{last}/rank-1-of-3.safetensors"));
    let whole = std::fs::read(&shard).unwrap();
    let fails = |expected: &[&str]| {
        let (code, _, message) = space.run(&resume);
        assert_eq!(code, 2, "{message}");
        let before = format!("step-{before}");
        for part in expected.iter().chain([&before.as_str()]) {
            assert!(message.contains(part), "{part}: {message}");
        }
    };

    let mut damaged = whole.clone();
    let middle = damaged.len() - 7;
    damaged[middle] ^= 1;
    std::fs::write(&shard, &damaged).unwrap();
    fails(&["rank-1-of-3.safetensors", "is damaged", "remove"]);
    std::fs::write(&shard, &whole[..whole.len() / 2]).unwrap();
    fails(&["rank-1-of-3.safetensors", "is damaged"]);
    std::fs::remove_file(&shard).unwrap();
    fails(&["lacks rank-1-of-3.safetensors"]);
    std::fs::write(&shard, &whole).unwrap();
    let manifest = snapshots.join(format!("step-{last}/manifest.json"));
    let text = std::fs::read(&manifest).unwrap();
    std::fs::remove_file(&manifest).unwrap();
    fails(&["lacks manifest.json"]);
    std::fs::write(&manifest, text).unwrap();
    space.succeed(&resume);
}

#[test]
fn ranks_on_one_gpu_train_alike() {
    for device in crate::common::gpus() {
        let space = Workspace::new(40, CONFIG);
        let train = |out: &str, ranks: &str, zero: &str| {
            let arguments =
                ["train", "config.toml", "--device", device, "--out", out, "--ranks", ranks, "--zero", zero];
            space.succeed(&[&arguments[..], &["--set", "train.epochs=2"]].concat());
        };
        train("one", "1", "0");
        train("two", "2", "2");
        assert_same_course(&space.path("two"), &space.path("one"));
    }
}
