//! The real program, killed at random moments and resumed, against one that was never killed.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use crate::common::{Workspace, metrics};

const CONFIG: &str = "split_by = \"system\"
[model]
width = 16
layers = 2
cutoff = 3.0
coordinate_updates = true
[train]
epochs = 30
batch_graphs = 8
accumulate = 2
schedule = { kind = \"plateau\", warmup_steps = 5, plateau_patience = 1 }
optimizer = { kind = \"muon\" }
[run]
snapshot_every = 3
log_every = 2
";

#[test]
fn a_killed_and_resumed_run_equals_one_that_was_never_killed() {
    let space = Workspace::new(160, CONFIG);
    space.succeed(&["train", "config.toml", "--out", "whole"]);
    let expected = metrics(&space.path("whole"));
    assert!(expected.len() > 50);

    // Kills at five random moments: each once the run has written so many lines, and a little later.
    const KILLS: usize = 5;
    let killed = space.path("killed");
    let mut kills = 0;
    let random = RandomState::new();
    loop {
        let entropy = random.hash_one(kills);
        let lines = (expected.len() * kills + entropy as usize % expected.len()) / (KILLS + 1);
        let pause = Duration::from_micros(entropy >> 32 & 0x1fff);
        let mut child = space
            .command(&["train", "config.toml", "--out", "killed", "--resume"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break Some(status),
                None if kills < KILLS && written(&killed) >= lines => {
                    std::thread::sleep(pause);
                    break child.try_wait().unwrap();
                }
                None => std::thread::sleep(Duration::from_micros(200)),
            }
        };
        match status {
            Some(status) => {
                assert!(status.success(), "the resumed run failed");
                break;
            }
            None => {
                child.kill().unwrap();
                child.wait().unwrap();
                kills += 1;
            }
        }
    }
    assert!(kills > 1, "the run was over before it could be killed");
    let found = metrics(&killed);
    assert_eq!(found, expected, "after {kills} kills");
    let best = |run: &str| std::fs::read(space.path(run).join("best/model.safetensors")).unwrap();
    assert_eq!(best("killed"), best("whole"));
    let left: Vec<_> =
        std::fs::read_dir(space.path("killed/snapshots")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
}

/// Lines that a run has logged so far.
fn written(run: &Path) -> usize {
    std::fs::read_to_string(run.join("metrics.jsonl")).map_or(0, |text| text.lines().count())
}

#[test]
fn the_same_seed_gives_the_same_bits_and_another_seed_does_not() {
    let space = Workspace::new(80, CONFIG);
    let train = |out: &str, seed: &str| {
        let seed = format!("train.seed={seed}");
        space.succeed(&["train", "config.toml", "--out", out, "--set", &seed, "--set", "train.epochs=2"]);
        metrics(&space.path(out))
    };
    let first = train("a", "1");
    assert_eq!(first, train("b", "1"));
    assert_ne!(first, train("c", "2"));
}

#[test]
fn a_config_that_does_not_fit_its_snapshot_is_refused() {
    let space = Workspace::new(40, CONFIG);
    space.succeed(&["train", "config.toml", "--out", "run", "--set", "train.epochs=1"]);
    let (code, _, message) = space.run(&[
        "train",
        "config.toml",
        "--out",
        "run",
        "--resume",
        "--set",
        "model.width=8",
        "--set",
        "train.epochs=2",
    ]);
    assert_eq!(code, 2);
    assert!(message.contains("snapshots/step-"), "{message}");
    assert!(message.contains("other settings: model.width was 16, is 8"), "{message}");
    let (code, _, message) = space.run(&["train", "config.toml", "--out", "run"]);
    assert_eq!(code, 2);
    assert!(message.contains("--resume"), "{message}");
    // More epochs at another rate are no other course: the run goes on, and says so.
    let resume = ["train", "config.toml", "--out", "run", "--resume"];
    let other = ["--set", "train.epochs=2", "--set", "train.learning_rate=1e-4"];
    let (code, _, said) = space.run(&[&resume[..], &other].concat());
    assert!(code == 0 && said.contains("changed since then: train.learning_rate was 0.001, is 0.0001"), "{said}");

    // What the data are decides, not their path.
    let moved = space.path("moved.xyz");
    std::fs::rename(space.path("data.xyz"), &moved).unwrap();
    let files = format!("data.files=[{moved:?}]");
    space.succeed(&[&resume[..], &["--set", &files, "--set", "train.epochs=3"]].concat());
    let text = std::fs::read_to_string(&moved).unwrap();
    std::fs::write(&moved, text.replacen(" energy=-", " energy=-1", 1)).unwrap();
    let (code, _, message) = space.run(&[&resume[..], &["--set", &files, "--set", "train.epochs=4"]].concat());
    assert!(code == 2 && message.contains("was made with other data"), "{message}");
}
