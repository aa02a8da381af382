//! `isograd bench`.

use isograd::engine::Recompute;
use isograd::lab::{NeighbourRate, STUDY_KIND, StepConfig, StepReport, bench_step, neighbour_rates};
use isograd::ops::device::DeviceName;
use isograd::ops::value::EdgeWork;
use isograd::tasks::Forces;
use isograd::train::Backend;
use isograd::train::{Error, Result};
use isograd::train::{RunOn, dispatch};

use super::print_json;
use super::tables::{bytes, grouped, rate, table};

#[derive(clap::Subcommand)]
pub(crate) enum Command {
    /// One training step (forward, backward, AdamW) on a random graph
    Step(StepArgs),
    /// Memory and time of training steps with and without recomputation, over widths, depths and densities
    Recompute(super::bench_recompute::Args),
    /// Training steps on one rank and on several, measured or on paper
    Scaling(super::bench_scaling::Args),
    /// Molecular dynamics at constant energy: its speed, and the drift of the energy
    Simulate(super::bench_simulate::Args),
    /// A packed store of random graphs: packing, opening, planning an epoch, reading
    Store(super::bench_store::Args),
    /// Neighbour lists of a molecule, a slab and a crystal
    Neighbours {
        /// Cutoff in angstrom
        #[arg(long, default_value_t = 5.0)]
        cutoff: f64,
        /// Seconds for each structure
        #[arg(long, default_value_t = 2.0)]
        seconds: f64,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

#[derive(clap::Args)]
pub(crate) struct StepArgs {
    /// Kind of the model, as in [model] kind
    #[arg(long, default_value = STUDY_KIND)]
    kind: String,
    /// Where forces come from; by default displacements of an egnn, direct ones of other kinds
    #[arg(long)]
    forces: Option<ForceSource>,
    /// Nodes
    #[arg(long, default_value_t = 1024)]
    nodes: usize,
    /// Neighbours of each node
    #[arg(long, default_value_t = 32)]
    degree: usize,
    /// Width of the model
    #[arg(long, default_value_t = 256)]
    width: usize,
    /// Layers of the model
    #[arg(long, default_value_t = 4)]
    layers: usize,
    /// Timed steps
    #[arg(long, default_value_t = 10)]
    steps: usize,
    /// Steps before them
    #[arg(long, default_value_t = 3)]
    warmup: usize,
    /// Device: cpu, wgpu, vulkan, metal or cuda, with an optional index as in cuda:1
    #[arg(long, default_value = "cpu")]
    device: DeviceName,
    /// How the work on edges is done: by the backend's own operation, or by plain tensor operations
    #[arg(long, default_value = "fused")]
    message: Message,
    /// Which activations are computed again on the way back: none, layer, every:K or auto:BYTES
    #[arg(long, default_value = "none")]
    recompute: Recompute,
    /// Predict energies and forces instead of training
    #[arg(long)]
    predict: bool,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum ForceSource {
    Direct,
    Displacement,
    Gradient,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Message {
    Fused,
    Composed,
}

#[derive(serde::Serialize)]
struct Rates {
    cutoff: f64,
    rates: Vec<NeighbourRate>,
}

pub(crate) fn run(command: Command) -> Result<()> {
    match command {
        Command::Step(args) => step(&args),
        Command::Recompute(args) => super::bench_recompute::run(&args),
        Command::Scaling(args) => super::bench_scaling::run(&args),
        Command::Simulate(args) => super::bench_simulate::run(&args),
        Command::Store(args) => super::bench_store::run(&args),
        Command::Neighbours { cutoff, seconds, json } => neighbours(cutoff, seconds, json),
    }
}

struct Bench(StepConfig);

impl RunOn for Bench {
    type Output = Result<StepReport, Error>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        bench_step::<B>(&self.0, &device).map_err(|(key, message)| match key {
            "device" => Error::Internal(format!("the device {message}")),
            key => Error::Config { place: format!("--{key}"), message },
        })
    }
}

fn step(args: &StepArgs) -> Result<()> {
    let &StepArgs { nodes, degree, width, layers, steps, warmup, recompute, predict, .. } = args;
    let message = match args.message {
        Message::Fused => EdgeWork::Fused,
        Message::Composed => EdgeWork::Composed,
    };
    let forces = match args.forces {
        Some(ForceSource::Direct) => Forces::Direct,
        Some(ForceSource::Displacement) => Forces::Displacement,
        Some(ForceSource::Gradient) => Forces::Gradient,
        None => StepConfig::usual_forces(&args.kind),
    };
    let kind = args.kind.clone();
    let config = StepConfig { kind, forces, nodes, degree, width, layers, steps, warmup, message, recompute, predict };
    let mut report = dispatch(&args.device, Bench(config))??;
    report.device = args.device.to_string();
    if args.json {
        return print_json(&report);
    }
    let seconds = |value: f64| if value.is_finite() { format!("{value:.4} s") } else { "-".into() };
    let loss = match report.loss {
        _ if report.predict => "-".into(),
        Some(loss) => format!("{loss:.6}"),
        None => "overflowed".into(),
    };
    let rows = [
        ("graph", format!("{} nodes, {} edges", grouped(report.nodes), grouped(report.edges))),
        (
            "model",
            format!(
                "{}, width {}, {} layers, {} parameters",
                report.kind,
                report.width,
                report.layers,
                grouped(report.parameters)
            ),
        ),
        ("step, median", seconds(report.step_seconds_median)),
        ("step, fastest", seconds(report.step_seconds_min)),
        ("neighbour list, beside", seconds(report.parts.neighbours)),
        ("forward", seconds(report.parts.forward)),
        ("backward", seconds(report.parts.backward)),
        ("optimizer", seconds(report.parts.optimizer)),
        ("edges per second", rate(report.edges_per_second)),
        (
            "matrix products",
            report
                .gemm_flops_per_second
                .map_or("-".into(), |rate| format!("{} GFLOP/s", grouped((rate / 1e9) as usize))),
        ),
        ("peak memory", format!("{}, planned {}", bytes(report.peak_bytes), bytes(report.plan.map(|plan| plan.total)))),
        ("loss", loss),
    ];
    let rows = rows.into_iter().map(|(key, value)| vec![key.to_owned(), value]).collect();
    let title = if report.predict { "prediction" } else { "training step" };
    println!("{}", table(&[title, &report.device], rows));
    Ok(())
}

fn neighbours(cutoff: f64, seconds: f64, json: bool) -> Result<()> {
    let rates = neighbour_rates(cutoff, seconds)?;
    if json {
        return print_json(&Rates { cutoff, rates });
    }
    let row = |r: NeighbourRate| {
        vec![
            r.name.into(),
            grouped(r.atoms),
            grouped(r.edges),
            format!("{:.3e} s", r.seconds),
            rate(r.edges_per_second),
        ]
    };
    let rows = rates.into_iter().map(row).collect();
    println!("{}", table(&["structure", "atoms", "edges", "one list", "edges/s"], rows));
    Ok(())
}
