//! The real program, killed at random moments and resumed, against one that was never killed.

mod common;

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::process::Stdio;
use std::time::{Duration, Instant};

use common::{Workspace, metrics};

const CONFIG: &str = "split_by = \"system\"
[model]
width = 16
layers = 2
cutoff = 3.0
coordinate_updates = true
[train]
epochs = 12
batch_graphs = 8
accumulate = 2
schedule = { kind = \"plateau\", warmup_steps = 5, plateau_patience = 1 }
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

    let mut kills = 0;
    let mut entropy = RandomState::new().hash_one(0u8);
    for _ in 0..200 {
        let mut child = space
            .command(&["train", "config.toml", "--out", "killed", "--resume"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        entropy = entropy.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        let patience = Duration::from_millis(20 + (entropy >> 33) % 500);
        let start = Instant::now();
        let status = loop {
            match child.try_wait().unwrap() {
                Some(status) => break Some(status),
                // Five kills at random moments, then it may finish.
                None if kills < 5 && start.elapsed() > patience => break None,
                None => std::thread::sleep(Duration::from_millis(2)),
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
    assert!(kills > 0, "the run was over before it could be killed");
    let found = metrics(&space.path("killed"));
    assert_eq!(found, expected, "after {kills} kills");
    let best = |run: &str| std::fs::read(space.path(run).join("best/model.safetensors")).unwrap();
    assert_eq!(best("killed"), best("whole"));
    let left: Vec<_> =
        std::fs::read_dir(space.path("killed/snapshots")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left.len(), 2, "{left:?}");
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
    assert!(message.contains("snapshots/step-") && message.contains("other settings"), "{message}");
    let (code, _, message) = space.run(&["train", "config.toml", "--out", "run"]);
    assert_eq!(code, 2);
    assert!(message.contains("--resume"), "{message}");
    // More epochs are no other course: the run goes on.
    space.succeed(&["train", "config.toml", "--out", "run", "--resume", "--set", "train.epochs=2"]);
}
