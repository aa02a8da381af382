//! `isograd plan`.

use std::path::PathBuf;

use isograd::engine::zero::Zero;
use isograd::engine::{Recompute, parse_bytes};
use isograd::models::GraphSizes;
use isograd::models::Registry;
use isograd::ops::device::{DeviceName, profile};
use isograd::ops::profile::Profile;
use isograd::train::Result;
use isograd::train::config::Config;
use isograd::train::{MemoryPlan, MemoryWorkload, model_of};
use serde::Serialize;

use super::print_json;
use super::tables::{bytes, grouped, table};

/// Elements that the embedding is planned for where the config leaves them to the data.
const UNKNOWN_ELEMENTS: usize = 100;

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Config file
    config: PathBuf,
    /// Override a key of the config, as in `--set model.width=256`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Number of processes
    #[arg(long)]
    ranks: Option<usize>,
    /// ZeRO level, 0 to 3: optimizer states, gradients, parameters are sharded over the processes
    #[arg(long)]
    zero: Option<u8>,
    /// Which activations are computed again on the way back: none, layer, every:K or auto:BYTES
    #[arg(long)]
    recompute: Option<Recompute>,
    /// Memory of each process, as in 80GB: says what would fit into it. Default on the CPU: this machine's
    #[arg(long, value_name = "BYTES", value_parser = memory)]
    memory: Option<u64>,
    /// Device: cpu, wgpu, vulkan, metal or cuda, with an optional index as in cuda:1
    #[arg(long)]
    device: Option<DeviceName>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

fn memory(text: &str) -> Result<u64, String> {
    parse_bytes(text).ok_or_else(|| format!("`{text}`, expected a number of bytes, as in 80GB or 16GiB"))
}

/// One policy.
#[derive(Serialize)]
struct Policy {
    recompute: Recompute,
    #[serde(flatten)]
    bytes: Option<MemoryPlan>,
    #[serde(skip_serializing_if = "Option::is_none")]
    fits: Option<Fits>,
}

/// What fits into a given memory; nothing where not even the smallest does.
#[derive(Serialize)]
struct Fits {
    memory: u64,
    batch_atoms: Option<u64>,
    batch_edges: Option<u64>,
    width: Option<u64>,
}

/// The categories of the policy that the config names stand at the top level.
#[derive(Serialize)]
struct Report {
    device: String,
    ranks: u64,
    zero: Zero,
    parameter_count: u64,
    graphs: u64,
    atoms: u64,
    edges: u64,
    #[serde(flatten)]
    chosen: Policy,
    policies: Vec<Policy>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let mut overrides = args.overrides;
    overrides.extend(args.ranks.map(|ranks| format!("parallel.ranks={ranks}")));
    overrides.extend(args.zero.map(|zero| format!("parallel.zero={zero}")));
    overrides.extend(args.recompute.map(|recompute| format!("parallel.recompute=\"{recompute}\"")));
    overrides.extend(args.device.map(|device| format!("train.device=\"{device}\"")));
    let config = Config::load(&args.config, &overrides)?;
    let model = model_of(&config, &Registry::default(), UNKNOWN_ELEMENTS)?;
    let budget = config.train.budget();
    let [graphs, atoms, edges] = [budget.graphs, budget.atoms, budget.edges].map(|count| count as u64);
    let batch = GraphSizes { graphs, nodes: atoms, edges };
    let device = &config.train.device;
    let profile = profile(device).unwrap_or_else(|error| {
        eprintln!("planned for an accelerator of 80 GB: {error}");
        Profile::USUAL_GPU
    });
    let work = MemoryWorkload::new(&config, model, batch, profile);
    let memory = args.memory.or_else(|| (*device == DeviceName::Cpu).then(host_memory).flatten());
    let policy = |recompute| Policy {
        recompute,
        bytes: work.plan(recompute),
        fits: memory.map(|memory| {
            let batch = work.largest_batch(recompute, memory);
            Fits {
                memory,
                batch_atoms: batch.map(|batch| batch.nodes),
                batch_edges: batch.map(|batch| batch.edges),
                width: work.largest_width(recompute, memory),
            }
        }),
    };
    let named = config.parallel.recompute;
    let mut policies = vec![Recompute::None, Recompute::Every(2), Recompute::Layer];
    if !policies.contains(&named) {
        policies.insert(0, named);
    }
    let report = Report {
        device: device.to_string(),
        ranks: work.ranks,
        zero: work.zero,
        parameter_count: work.parameter_count(),
        graphs,
        atoms,
        edges,
        chosen: policy(named),
        policies: policies.into_iter().map(policy).collect(),
    };
    if args.json {
        return print_json(&report);
    }
    print(&report, &work);
    Ok(())
}

/// What this machine, or the container that the program runs in, has.
pub(crate) fn host_memory() -> Option<u64> {
    let mut system = sysinfo::System::new();
    system.refresh_memory();
    let limit = system.cgroup_limits().map_or(u64::MAX, |limits| limits.total_memory);
    let total = system.total_memory().min(limit);
    (total > 0).then_some(total)
}

fn print(report: &Report, work: &MemoryWorkload) {
    let Report { ranks, zero, graphs, atoms, edges, .. } = report;
    println!(
        "{}, {} blocks, {} parameters on {}; {} ranks, ZeRO level {zero}",
        work.model.architecture().kind(),
        work.layout.blocks(),
        grouped(report.parameter_count as usize),
        report.device,
        ranks
    );
    let [graphs, atoms, edges] = [graphs, atoms, edges].map(|count| grouped(*count as usize));
    println!("batches of at most {graphs} graphs, {atoms} atoms, {edges} edges; bytes of one rank at the peak\n");
    let of = |name: &str, value: fn(&MemoryPlan) -> u64| -> Vec<String> {
        let values = report.policies.iter().map(|policy| bytes(policy.bytes.as_ref().map(value)));
        std::iter::once(name.to_owned()).chain(values).collect()
    };
    let mut rows = vec![
        of("parameters", |plan| plan.parameters),
        of("gradients", |plan| plan.gradients),
        of("optimizer", |plan| plan.optimizer),
        of("ema", |plan| plan.ema),
        of("activations", |plan| plan.activations),
        of("transient", |plan| plan.transient),
        of("data", |plan| plan.data),
        of("total", |plan| plan.total),
    ];
    let fits: Vec<&Fits> = report.policies.iter().filter_map(|policy| policy.fits.as_ref()).collect();
    if let Some(first) = fits.first() {
        let memory = bytes(Some(first.memory));
        let row = |name: String, values: &[Option<u64>]| -> Vec<String> {
            let text = values.iter().map(|value| value.map_or("none".into(), |count| grouped(count as usize)));
            std::iter::once(name).chain(text).collect()
        };
        let column = |value: fn(&Fits) -> Option<u64>| fits.iter().map(|fits| value(fits)).collect::<Vec<_>>();
        rows.push(row(format!("atoms that fit {memory}"), &column(|fits| fits.batch_atoms)));
        rows.push(row("with edges".into(), &column(|fits| fits.batch_edges)));
        rows.push(row("or width".into(), &column(|fits| fits.width)));
    }
    let names: Vec<String> = report.policies.iter().map(|policy| policy.recompute.to_string()).collect();
    let header: Vec<&str> = std::iter::once("recompute").chain(names.iter().map(String::as_str)).collect();
    println!("{}", table(&header, rows));
}
