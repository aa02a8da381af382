//! The same potential on every device: predictions and training on GPUs against the CPU.
#![cfg(any(feature = "wgpu", feature = "cuda"))]

mod common;

use common::{Workspace, gpus, metrics};

const CONFIG: &str = "[model]
width = 16
layers = 2
cutoff = 3.0
coordinate_updates = true
attention = true
[train]
epochs = 1
batch_graphs = 16
[run]
out = \"run\"
";

/// Every number after `key=` in comments, and every number in the rows, of a predicted file.
fn numbers(text: &str) -> (Vec<f64>, Vec<f64>) {
    let energies = text.split_whitespace().filter_map(|word| word.strip_prefix("energy=")?.parse().ok());
    let rows = text.lines().filter(|line| line.starts_with(['H', 'C', 'O']));
    let forces = rows.flat_map(|line| line.split_whitespace().skip(4).take(3).map(|word| word.parse().unwrap()));
    (energies.collect(), forces.collect())
}

fn assert_agree(name: &str, device: &str, cpu: &[f64], gpu: &[f64]) {
    assert_eq!(cpu.len(), gpu.len());
    let scale = cpu.iter().fold(0.0, |m: f64, v| m.max(v.abs()));
    assert!(scale > 1e-3);
    for (a, b) in cpu.iter().zip(gpu) {
        assert!((a - b).abs() <= 1e-4 * scale, "{name}: {a} on the CPU, {b} on {device}");
    }
}

#[test]
fn gpus_predict_what_the_cpu_predicts() {
    let space = Workspace::new(32, CONFIG);
    space.succeed(&["train", "config.toml"]);
    // A single atom has no edges: devices must take empty tensors too.
    let lone = std::fs::read_to_string(space.path("data.xyz")).unwrap() + "1\n\nO 0 0 0\n";
    std::fs::write(space.path("in.xyz"), lone).unwrap();
    let predict = |device: &str| {
        space.succeed(&["predict", "run", "in.xyz", "-o", "out.xyz", "--device", device]);
        numbers(&std::fs::read_to_string(space.path("out.xyz")).unwrap())
    };
    let cpu = predict("cpu");
    assert_eq!(cpu.0.len(), 33);
    for device in gpus() {
        let gpu = predict(device);
        assert_agree("energies", device, &cpu.0, &gpu.0);
        assert_agree("forces", device, &cpu.1, &gpu.1);
    }
}

#[test]
fn gpus_train_as_the_cpu_trains() {
    let space = Workspace::new(40, CONFIG);
    let losses = |device: &str, forces: &str| -> Vec<f64> {
        let out = format!("{device}-{forces}");
        let forces = format!("model.forces={forces:?}");
        let sets = ["--set", "run.log_every=1", "--set", &forces];
        let command = [["train", "config.toml", "--device", device, "--out", &out].as_slice(), &sets].concat();
        space.succeed(&command);
        metrics(&space.path(&out)).iter().filter_map(|line| line["loss"].as_f64()).filter(|l| *l > 0.0).collect()
    };
    for forces in ["direct", "gradient"] {
        let cpu = losses("cpu", forces);
        for device in gpus() {
            let gpu = losses(device, forces);
            assert!(cpu.len() >= 3 && cpu.len() == gpu.len());
            for (a, b) in cpu.iter().zip(&gpu) {
                assert!((a - b).abs() < 1e-4 * a, "{forces}: {cpu:?} on the CPU, {gpu:?} on {device}");
            }
        }
    }
}

#[test]
fn recomputation_on_gpus_changes_nothing() {
    let space = Workspace::new(40, CONFIG);
    let losses = |device: &str, policy: &str| -> Vec<f64> {
        let out = format!("{device}-{policy}");
        let policy_set = format!("parallel.recompute={policy:?}");
        let sets = ["--set", "model.attention=false", "--set", "run.log_every=1", "--set", &policy_set];
        let command = [["train", "config.toml", "--device", device, "--out", &out].as_slice(), &sets].concat();
        space.succeed(&command);
        metrics(&space.path(&out)).iter().filter_map(|line| line["loss"].as_f64()).filter(|l| *l > 0.0).collect()
    };
    for device in gpus() {
        let (kept, again) = (losses(device, "none"), losses(device, "layer"));
        assert!(kept.len() >= 3 && kept.len() == again.len());
        for (a, b) in kept.iter().zip(&again) {
            assert!((a - b).abs() <= 1e-5 * a, "{kept:?} kept, {again:?} computed again on {device}");
        }
    }
}

#[test]
#[cfg(feature = "wgpu")]
fn an_adapter_that_is_not_there_is_an_error() {
    let space = Workspace::new(8, CONFIG);
    let (code, _, message) = space.run(&["train", "config.toml", "--device", "wgpu:99"]);
    assert_eq!(code, 2, "{message}");
    assert!(message.contains("isograd devices"), "{message}");
}
