//! What the tests of the program share: a small data set, a config, running the real binary.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part")]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Clusters of H, C and O with a Morse potential between all pairs: energies and exact forces.
/// The numbers come from a small generator of our own, so that files never change.
pub fn clusters(frames: usize) -> String {
    let mut seed = 12345u64;
    let mut random = move || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (seed >> 33) as f64 / (1u64 << 31) as f64
    };
    let mut text = String::new();
    for frame in 0..frames {
        let atoms = 3 + frame % 4;
        let positions: Vec<[f64; 3]> = (0..atoms)
            .map(|k| [1.3 * (k % 2) as f64, 1.3 * (k / 2 % 2) as f64, 1.3 * (k / 4) as f64].map(|x| x + 0.3 * random()))
            .collect();
        let mut energy = -2.0 * atoms as f64;
        let mut forces = vec![[0.0; 3]; atoms];
        for i in 0..atoms {
            for j in 0..i {
                let d: [f64; 3] = std::array::from_fn(|k| positions[j][k] - positions[i][k]);
                let r = d.iter().map(|x| x * x).sum::<f64>().sqrt();
                let e = (-2.0 * (r - 1.3)).exp();
                energy += e * e - 2.0 * e;
                let slope = -4.0 * (e * e - e);
                for k in 0..3 {
                    forces[i][k] += slope * d[k] / r;
                    forces[j][k] -= slope * d[k] / r;
                }
            }
        }
        let _ =
            writeln!(text, "{atoms}\nProperties=species:S:1:pos:R:3:forces:R:3 energy={energy} system=s{}", frame / 4);
        for (k, (p, f)) in positions.iter().zip(&forces).enumerate() {
            let _ = writeln!(text, "{} {} {} {} {} {} {}", ["H", "C", "O"][k % 3], p[0], p[1], p[2], f[0], f[1], f[2]);
        }
    }
    text
}

/// A folder with `data.xyz` and `config.toml` in it.
pub struct Workspace {
    folder: tempfile::TempDir,
}

impl Workspace {
    /// `config` is what follows the `[data]` section; `OUT` in it stands for nothing yet.
    pub fn new(frames: usize, config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("data.xyz"), clusters(frames)).unwrap();
        let text = format!("[data]\nfiles = [\"data.xyz\"]\n{config}");
        std::fs::write(folder.path().join("config.toml"), text).unwrap();
        Self { folder }
    }

    /// A path in the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The program, to be run in the folder.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_isograd"));
        command.current_dir(self.folder.path()).args(arguments);
        command
    }

    /// Runs the program; returns its exit code, stdout and stderr.
    pub fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        let Output { status, stdout, stderr } = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (status.code().unwrap_or(-1), text(stdout), text(stderr))
    }

    /// Runs the program, which must succeed; returns its stdout.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let (code, stdout, stderr) = self.run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {stderr}");
        stdout
    }
}

/// The lines of a run's `metrics.jsonl` without what depends on the clock.
pub fn metrics(run: &Path) -> Vec<serde_json::Value> {
    let text = std::fs::read_to_string(run.join("metrics.jsonl")).unwrap();
    text.lines()
        .map(|line| {
            let mut line: serde_json::Value = serde_json::from_str(line).unwrap();
            let object = line.as_object_mut().unwrap();
            for key in ["seconds", "edges_per_second", "atoms_per_second", "peak_bytes"] {
                assert!(object.remove(key).is_some(), "{key} is missing");
            }
            line
        })
        .collect()
}

/// Says that a test did not run, and why.
#[allow(clippy::print_stderr, reason = "a skipped test must be seen")]
pub fn skipped(reason: &str) {
    eprintln!("SKIPPED: {reason}");
}

/// The GPUs that this program is built for and that are there, a kind each. Where `ISOGRAD_REQUIRE_WGPU` is set,
/// as in CI, the absence of a wgpu adapter fails the test, as does that of a CUDA device where
/// `ISOGRAD_REQUIRE_CUDA` is; elsewhere tests go on without, and say why.
pub fn gpus() -> Vec<&'static str> {
    let reports = isograd::ops::device::list();
    let there = |kind: &&str| {
        let report = reports.iter().find(|report| report.device.starts_with(*kind)).unwrap();
        if !report.available {
            let reason = report.reason.clone().unwrap_or_default();
            let required = format!("ISOGRAD_REQUIRE_{}", kind.to_uppercase());
            assert!(std::env::var_os(required).is_none(), "no {kind} device: {reason}");
            skipped(&reason);
        }
        report.available
    };
    ["wgpu", "cuda"].into_iter().filter(there).collect()
}

/// What ranks train in their tests, after the `[data]` section.
pub const RANKS: &str = "split_by = \"system\"
[model]
width = 16
layers = 2
cutoff = 3.0
coordinate_updates = true
[train]
epochs = 6
batch_graphs = 12
accumulate = 2
schedule = { kind = \"plateau\", warmup_steps = 5, plateau_patience = 1 }
[run]
snapshot_every = 3
log_every = 1
";

/// Losses of all steps of a run that logs each.
pub fn losses(run: &Path) -> Vec<f64> {
    metrics(run).iter().filter(|line| line["validation"].is_null()).map(|line| line["loss"].as_f64().unwrap()).collect()
}

/// Numbers of all validations of a run.
fn validations(run: &Path) -> Vec<f64> {
    let errors = |line: &serde_json::Value| -> Vec<f64> {
        let metrics = line["validation"].as_object().into_iter().flatten();
        metrics.filter_map(|(_, value)| value.as_f64()).collect()
    };
    metrics(run).iter().flat_map(errors).collect()
}

/// Checks that losses and errors in validation are the same up to the rounding of single precision.
#[track_caller]
pub fn assert_same_course(found: &Path, expected: &Path) {
    // Also in a validation's line, which may follow one of the same step.
    assert!(metrics(found).iter().all(|line| line["loss"].as_f64().unwrap() > 0.0));
    let errors = [found, expected].map(validations);
    assert_eq!(errors[0].len(), errors[1].len());
    for (k, (a, b)) in errors[0].iter().zip(&errors[1]).enumerate() {
        assert!((a - b).abs() <= 1e-5 * b.abs(), "validation, number {k}: {a} and {b}");
    }
    let (found, expected) = (losses(found), losses(expected));
    assert_eq!(found.len(), expected.len());
    for (step, (a, b)) in found.iter().zip(&expected).enumerate() {
        assert!((a - b).abs() <= 1e-5 * b, "step {step}: {a} and {b}");
    }
}

/// A run's `summary.json`.
pub fn summary(run: &Path) -> serde_json::Value {
    serde_json::from_str(&std::fs::read_to_string(run.join("summary.json")).unwrap()).unwrap()
}
