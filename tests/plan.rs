//! The memory plan: what it says against what is measured, what fits, and what happens when nothing does.

mod common;

use std::process::Command;
use std::sync::Arc;

use burn::nn::{Linear, LinearConfig};
use common::Workspace;
use isograd::engine::Recompute;
use isograd::models::{AnyArchitecture, Gcn, GraphSizes, Inputs, NodeVectors, Registry};
use isograd::network::*;
use isograd::ops::profile::Profile;
use isograd::ops::value::EdgeWork;
use isograd::tasks::{Model, Readout, potential_targets};
use isograd::train::MemoryWorkload;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

/// A training step that is measured.
#[derive(Debug, Clone, Copy)]
struct Case {
    kind: &'static str,
    /// Where forces come from; as is usual for the kind where it is not said.
    forces: Option<&'static str>,
    /// Nodes, degree, width, layers.
    sizes: [usize; 4],
    recompute: &'static str,
    message: &'static str,
}

/// A step of the study's kind, with coordinate updates and forces that are displacements.
const fn egnn(sizes: [usize; 4], recompute: &'static str, message: &'static str) -> Case {
    Case { kind: "egnn", forces: None, sizes, recompute, message }
}

/// A step of any kind.
const fn of(kind: &'static str, forces: &'static str, sizes: [usize; 4], recompute: &'static str) -> Case {
    Case { kind, forces: Some(forces), sizes, recompute, message: "fused" }
}

fn number(report: &Json, key: &str) -> f64 {
    report[key].as_f64().unwrap_or_else(|| panic!("{key} is {}", report[key]))
}

/// A training step in a process of its own.
fn step(case: Case, device: &str) -> Json {
    let Case { kind, forces, sizes: [nodes, degree, width, layers], recompute, message } = case;
    let sizes =
        [("nodes", nodes), ("degree", degree), ("width", width), ("layers", layers), ("steps", 1), ("warmup", 1)];
    let mut command = Command::new(env!("CARGO_BIN_EXE_isograd"));
    command.args(["bench", "step", "--json", "--kind", kind]);
    for (name, value) in sizes {
        command.args([format!("--{name}"), value.to_string()]);
    }
    if let Some(forces) = forces {
        command.args(["--forces", forces]);
    }
    command.args(["--recompute", recompute, "--message", message, "--device", device]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What is wrong with a prediction.
fn miss(name: &str, planned: f64, peak: f64) -> Option<String> {
    let ratio = planned / peak;
    let near = (0.9..=1.1).contains(&ratio);
    (!near).then(|| format!("{name}: planned {planned:e} bytes, the peak was {peak:e}, {ratio:.3}"))
}

fn assert_steps_predicted(cases: &[Case], device: &str) {
    let misses = cases.iter().filter_map(|&case| {
        let report = step(case, device);
        miss(&format!("{case:?}"), number(&report["plan"], "total"), number(&report, "peak_bytes"))
    });
    let misses: Vec<String> = misses.collect();
    assert!(misses.is_empty(), "on {device}:\n{}", misses.join("\n"));
}

#[test]
fn steps_on_the_cpu_take_what_was_planned() {
    let cases = [
        egnn([512, 16, 64, 4], "none", "fused"),
        egnn([512, 16, 64, 4], "layer", "composed"),
        egnn([512, 16, 64, 12], "none", "fused"),
        egnn([512, 16, 256, 4], "layer", "fused"),
        egnn([512, 16, 256, 4], "none", "composed"),
        egnn([512, 16, 128, 6], "every:2", "composed"),
        egnn([512, 16, 128, 6], "auto:100MB", "composed"),
        egnn([2048, 16, 64, 4], "none", "fused"),
        egnn([2048, 16, 64, 6], "every:3", "fused"),
        egnn([4096, 4, 64, 6], "none", "fused"),
        egnn([1024, 64, 64, 4], "layer", "fused"),
        egnn([1024, 64, 64, 3], "none", "composed"),
        egnn([128, 16, 768, 3], "none", "fused"),
        egnn([256, 8, 512, 4], "layer", "composed"),
    ];
    assert_steps_predicted(&cases, "cpu");
}

/// Kinds beside the one above. One that the registry has and this list lacks is a failing test.
const KINDS: [&str; 6] = ["gat", "gcn", "moments", "painn", "schnet", "study"];

#[test]
fn steps_of_every_kind_take_what_was_planned() {
    let known: Vec<&str> = Registry::default().kinds().collect();
    assert_eq!(known, ["egnn"].into_iter().chain(KINDS).collect::<Vec<_>>());
    let cases = KINDS.into_iter().flat_map(|kind| {
        [
            of(kind, "direct", [512, 16, 64, 4], "none"),
            of(kind, "direct", [512, 16, 128, 4], "layer"),
            of(kind, "direct", [1024, 32, 64, 6], "every:2"),
        ]
    });
    assert_steps_predicted(&cases.collect::<Vec<_>>(), "cpu");
}

#[test]
fn steps_with_conservative_forces_take_what_was_planned() {
    let cases = [
        of("egnn", "gradient", [1024, 32, 256, 4], "none"),
        of("egnn", "gradient", [2048, 16, 64, 4], "none"),
        of("egnn", "gradient", [2048, 16, 64, 6], "layer"),
        of("egnn", "gradient", [2048, 16, 64, 6], "every:2"),
        of("egnn", "gradient", [512, 24, 1024, 2], "layer"),
        of("painn", "gradient", [512, 16, 64, 4], "none"),
        of("painn", "gradient", [512, 24, 128, 3], "layer"),
        of("moments", "gradient", [512, 16, 64, 4], "none"),
        of("moments", "gradient", [512, 24, 128, 3], "layer"),
        of("schnet", "gradient", [512, 16, 64, 4], "none"),
        of("schnet", "gradient", [1024, 24, 128, 4], "every:2"),
        of("gat", "gradient", [1024, 24, 128, 3], "layer"),
        of("gcn", "gradient", [1024, 24, 128, 4], "every:2"),
    ];
    assert_steps_predicted(&cases, "cpu");
}

/// A pool reserves whole pages, on a software device of 8 MiB for tensors up to 2 MiB and of 32 MiB for larger
/// ones. Cases are so large that a page is less than a tenth.
#[test]
#[cfg(feature = "wgpu")]
fn steps_on_wgpu_take_what_was_planned() {
    if !common::gpus().contains(&"wgpu") {
        return;
    }
    let cases = [
        egnn([256, 16, 128, 6], "every:3", "composed"),
        egnn([4096, 4, 64, 6], "none", "fused"),
        egnn([32768, 2, 64, 6], "layer", "fused"),
        egnn([256, 8, 256, 12], "none", "fused"),
        egnn([64, 4, 768, 3], "layer", "fused"),
        of("egnn", "gradient", [512, 16, 128, 6], "every:2"),
        of("painn", "gradient", [256, 16, 64, 3], "layer"),
        of("schnet", "gradient", [512, 16, 64, 4], "none"),
        of("gat", "direct", [2048, 16, 64, 4], "none"),
    ];
    assert_steps_predicted(&cases, "wgpu");
}

const MODEL: &str = "[model]
layers = 4
cutoff = 4.0
[train]
epochs = 1
[run]
out = \"run\"
";

#[test]
fn training_takes_what_was_planned() {
    let space = Workspace::new(1200, MODEL);
    let mut cases: Vec<Vec<&str>> = [
        &["model.width=64", "train.batch_graphs=1000", "train.message=composed"][..],
        &["model.width=64", "train.batch_graphs=1000", "train.message=composed", "parallel.recompute=auto:30MB"],
        &["model.width=256", "model.layers=8", "train.accumulate=3", "parallel.recompute=layer"],
        &["model.width=256", "train.optimizer.kind=muon", "train.batch_graphs=32"],
        &["model.width=128", "train.batch_graphs=250", "train.parts=2", "train.accumulate=2", "train.epochs=6"],
    ]
    .map(<[&str]>::to_vec)
    .to_vec();
    let kinds = KINDS.map(|kind| format!("model.kind={kind}"));
    for kind in &kinds {
        // Steps of both kinds of forces are measured above.
        let forces = if kind.ends_with("study") { "model.forces=direct" } else { "model.forces=gradient" };
        cases.push(vec![kind, forces, "model.width=64", "train.batch_graphs=400", "train.epochs=1"]);
    }
    let mut misses = Vec::new();
    for (k, settings) in cases.into_iter().enumerate() {
        let out = format!("run{k}");
        let mut arguments = vec!["train", "config.toml", "--out", &out];
        arguments.extend(settings.iter().flat_map(|setting| ["--set", setting]));
        space.succeed(&arguments);
        let text = std::fs::read_to_string(space.path(&out).join("summary.json")).unwrap();
        let train = &serde_json::from_str::<Json>(&text).unwrap()["train"];
        misses.extend(miss(&settings.join(" "), number(train, "planned_bytes"), number(train, "peak_bytes")));
    }
    assert!(misses.is_empty(), "{}", misses.join("\n"));
}

#[test]
fn the_plan_adds_up_and_follows_what_is_asked() {
    let space = Workspace::new(4, MODEL);
    let plan = |arguments: &[&str]| -> Json {
        let all = [&["plan", "config.toml", "--json"], arguments].concat();
        serde_json::from_str(&space.succeed(&all)).unwrap()
    };
    let base = plan(&["--memory", "4GB"]);
    let parts = ["parameters", "gradients", "optimizer", "ema", "activations", "transient", "data"];
    assert_eq!(parts.iter().map(|key| number(&base, key)).sum::<f64>(), number(&base, "total"));
    assert_eq!(number(&base, "parameters"), 4.0 * number(&base, "parameter_count"));
    let fits = &base["policies"][0]["fits"];

    // What is said to fit does, and a little more does not.
    let total = |set: &[String]| {
        let arguments: Vec<&str> = set.iter().flat_map(|set| ["--set", set]).collect();
        number(&plan(&arguments), "total")
    };
    let batch = |factor: f64| -> Vec<String> {
        let of = |key: &str| (factor * number(fits, key)) as u64;
        let graphs = 32.0 * number(fits, "batch_atoms") / 4096.0;
        vec![
            format!("train.batch_atoms={}", of("batch_atoms")),
            format!("train.batch_edges={}", of("batch_edges")),
            format!("train.batch_graphs={}", (factor * graphs) as u64),
        ]
    };
    assert!(total(&batch(1.0)) <= 4.001e9 && total(&batch(1.02)) > 4e9);
    let width = number(fits, "width") as u64;
    assert!(total(&[format!("model.width={width}")]) <= 4e9);
    assert!(total(&[format!("model.width={}", width + 8)]) > 4e9);

    // Recomputation, and shards of ever more on four ranks, take ever less. With one batch a step stages 1 and 2 are
    // the same.
    let of = |recompute: &str| number(&plan(&["--recompute", recompute]), "total");
    assert!(of("layer") < of("none") && of("every:2") < of("none"));
    let limit = 0.5 * (of("layer") + of("none"));
    let within = of(&format!("auto:{limit}"));
    assert!(within <= limit && within > of("layer"));
    let wide = ["--set", "train.accumulate=2", "--set", "model.width=2048", "--recompute", "layer"];
    let wide = [&wide[..], &["--ranks", "4", "--zero"]].concat();
    let sharded = ["0", "1", "2", "3"].map(|zero| plan(&[wide.as_slice(), &[zero]].concat()));
    let totals = sharded.each_ref().map(|plan| number(plan, "total"));
    assert!(totals.is_sorted_by(|a, b| a > b), "{totals:?}");
    assert_eq!(number(&sharded[1], "optimizer"), (number(&sharded[0], "optimizer") / 4.0).ceil());
    assert_eq!(number(&sharded[3], "parameters"), (number(&sharded[0], "parameters") / 4.0).ceil());
}

/// A GCN with one more block, as a program may have it: a layer of Burn's, and for a wrong reason a look at numbers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Own {
    looks: bool,
}

impl Architecture for Own {
    const KIND: &'static str = "own";
    fn validate(&self, _inputs: &Inputs) -> Result<(), Invalid> {
        Ok(())
    }
    fn needs(&self) -> GraphNeeds {
        Architecture::needs(&Gcn::default())
    }
    fn width(&self) -> usize {
        Architecture::width(&Gcn::default())
    }
    fn blocks<B: MessageBackend>(&self, inputs: &Inputs, declare: &mut Declare) -> GraphBlocks<B> {
        let (looks, width) = (self.looks, Architecture::width(self));
        let mut blocks = Architecture::blocks(&Gcn::default(), inputs, declare);
        declare.next_block();
        let make = move |device: &B::Device| LinearConfig::new(width, width).init(device);
        let forward = move |module: &Linear<B>, _graph: &Graph<B>, mut flow: Flow<B>| {
            let nodes = flow.need(NODES).into_tensor();
            let larger = !looks || nodes.clone().to_data().iter::<f32>().any(|number| number > 1.0);
            flow.put(NODES, Value::new(if larger { module.forward(nodes) } else { nodes }));
            flow
        };
        blocks.push(Box::new(ModuleBlock::declare(&mut declare.scope("own"), &Default::default(), make, forward)));
        blocks
    }
}

#[test]
fn what_a_program_brings_has_a_plan_unless_it_looks_at_numbers() {
    let inputs =
        Inputs { species: vec![1, 6], dims: 3, heads: 1, vectors: NodeVectors::None, edge_work: EdgeWork::default() };
    let readouts = vec![Readout::of(&potential_targets()[0])];
    let work = |own: Arc<dyn AnyArchitecture>| {
        let model = Model::new(own, inputs.clone(), readouts.clone()).unwrap();
        let batch = GraphSizes { graphs: 10, nodes: 1000, edges: 20_000 };
        MemoryWorkload::of_step(model, batch, Profile::Cpu { threads: 4 })
    };
    let bytes = |own| work(own).plan(Recompute::None).map(|plan| plan.total);
    let (without, with) = (bytes(Arc::new(Gcn::default())).unwrap(), bytes(Arc::new(Own { looks: false })).unwrap());
    // The peak is on the way back through the last layer of the GCN: weights, moments and gradients of Burn's come beside.
    let width = Architecture::width(&Gcn::default()) as u64;
    assert_eq!(with - without, 4 * 4 * width * (width + 1));
    let looking = work(Arc::new(Own { looks: true }));
    assert_eq!(looking.plan(Recompute::None), None);
    let kept = looking.segments(Recompute::Auto(1 << 40)).iter().filter(|segment| segment.kept).count();
    assert_eq!(kept, 1, "the last block alone");
}

#[test]
fn a_plan_is_not_an_allocation() {
    // A model of 10^13 parameters.
    let space = Workspace::new(4, MODEL);
    let table = space.succeed(&["plan", "config.toml", "--set", "model.width=65536", "--set", "model.layers=400"]);
    assert!(table.contains("TiB") && table.contains("atoms that fit"), "{table}");
}

#[test]
#[cfg(unix)]
fn running_out_of_memory_says_what_would_fit() {
    let space = Workspace::new(40, MODEL);
    let mut shell = Command::new("sh");
    let line = "ulimit -v 4000000; exec \"$0\" train config.toml --set model.width=3000";
    let output = shell.current_dir(space.path("")).args(["-c", line, env!("CARGO_BIN_EXE_isograd")]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    let last = error.lines().last().unwrap();
    assert!(last.starts_with("error: out of memory: ") && last.contains("model.width = "), "{last}");
    assert!(!error.contains("panicked"), "{error}");
}

#[test]
#[cfg(feature = "wgpu")]
fn a_buffer_too_large_for_the_gpu_says_so() {
    use isograd::ops::{device::profile, profile::Profile};
    if !common::gpus().contains(&"wgpu") {
        return;
    }
    let Profile::Gpu { largest, .. } = profile(&"wgpu".parse().unwrap()).unwrap() else { panic!("wgpu is a GPU") };
    let width = ((largest as f64 / 4.0).sqrt() as usize).next_multiple_of(8) + 8;
    if width > 8000 {
        common::skipped("a matrix that this device cannot hold would take too long to make");
        return;
    }
    let width = width.to_string();
    let arguments = ["bench", "step", "--nodes", "4", "--degree", "1", "--layers", "1", "--device", "wgpu"];
    let output =
        Command::new(env!("CARGO_BIN_EXE_isograd")).args(arguments).args(["--width", &width]).output().unwrap();
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{error}");
    assert!(error.starts_with("error: out of memory: ") && !error.contains("panicked"), "{error}");
}
