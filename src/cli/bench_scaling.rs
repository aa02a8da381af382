//! `isograd bench scaling`: strong and weak scaling over ranks, measured beside what it is on paper.

use std::sync::Arc;
use std::time::Duration;

use isograd::comm::{Communicator, Solo, Transport, World, spawn};
use isograd::engine::Recompute;
use isograd::engine::zero::Zero;
use isograd::lab::{Cluster, RankStep, STUDY_KIND, StepConfig, StepModel, Traffic, bench_rank, bench_traffic};
use isograd::ops::device::DeviceName;
use isograd::ops::value::EdgeWork;
use isograd::train::Backend;
use isograd::train::{Error, Result};
use isograd::train::{RunOn, dispatch};
use serde::Serialize;

use super::print_json;
use super::processes::ProcessArgs;
use super::ranks::Ranks;
use super::tables::{bytes, grouped, table};

/// How long ranks wait for one another.
pub(super) const PATIENCE: Duration = Duration::from_secs(600);

#[derive(clap::Args)]
#[command(after_help = "Examples:
  isograd bench scaling --ranks 1,2,4
  mpirun -n 4 isograd bench scaling
  isograd bench scaling --paper --width 7072 --layers 3 --nodes 128 --degree 40 --gpus 8,64,128,512")]
pub(crate) struct Args {
    /// Numbers of ranks, threads of this process; under mpirun, one and all
    #[arg(long, value_delimiter = ',', default_value = "1,2")]
    ranks: Vec<usize>,
    /// ZeRO levels
    #[arg(long, value_delimiter = ',', default_value = "0,1,2,3")]
    pub(super) zero: Vec<Zero>,
    /// Nodes of the graph of one rank: of each rank in weak scaling, of all together in strong scaling
    #[arg(long, default_value_t = 1024)]
    pub(super) nodes: usize,
    /// Neighbours of each node
    #[arg(long, default_value_t = 32)]
    pub(super) degree: usize,
    /// Width of the model
    #[arg(long, default_value_t = 256)]
    width: usize,
    /// Layers of the model
    #[arg(long, default_value_t = 4)]
    pub(super) layers: usize,
    /// Timed steps
    #[arg(long, default_value_t = 5)]
    steps: usize,
    /// Steps before them
    #[arg(long, default_value_t = 2)]
    warmup: usize,
    /// Which activations are computed again on the way back: none, layer, every:K
    #[arg(long, default_value = "none")]
    recompute: Recompute,
    /// Device: cpu, wgpu, vulkan, metal or cuda, with an optional index as in cuda:1
    #[arg(long, default_value = "cpu")]
    device: DeviceName,
    /// Measure nothing: predict steps on A100s, `--nodes` on each
    #[arg(long)]
    paper: bool,
    /// Numbers of GPUs to predict
    #[arg(long, value_delimiter = ',', default_value = "8,16,32,64,128,256,512")]
    pub(super) gpus: Vec<usize>,
    /// Operations per second of a GPU: by default half of an A100's 19.5 TFLOP/s in single precision
    #[arg(long, default_value_t = 0.5 * 19.5e12)]
    pub(super) flops: f64,
    /// Print one JSON object
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    processes: ProcessArgs,
}

impl Args {
    pub(super) fn step(&self, nodes: usize) -> StepConfig {
        StepConfig {
            kind: STUDY_KIND.into(),
            forces: StepConfig::usual_forces(STUDY_KIND),
            nodes,
            degree: self.degree,
            width: self.width,
            layers: self.layers,
            steps: self.steps,
            warmup: self.warmup,
            message: EdgeWork::Fused,
            recompute: self.recompute,
            predict: false,
        }
    }
}

/// One case, measured.
#[derive(Debug, Clone, Serialize)]
struct Case {
    scaling: &'static str,
    ranks: usize,
    zero: Zero,
    /// Nodes of each rank.
    nodes: usize,
    /// By the slowest rank.
    seconds: f64,
    /// What the model on paper says, from one rank's step and the traffic alone.
    predicted_seconds: f64,
    /// Time of one rank's step over this one, times what it does more.
    speedup: f64,
    steps: Vec<RankStep>,
}

#[derive(Serialize)]
struct Report {
    threads_per_rank: usize,
    traffic: Vec<(usize, Traffic)>,
    cases: Vec<Case>,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    if args.paper {
        return super::bench_paper::run(args);
    }
    let ranks = Ranks::find(&args.processes)?;
    ranks.be_quiet_unless_first();
    let counts = ranks.world().map_or_else(|| args.ranks.clone(), |world| vec![1, world.size]);
    let most = counts.iter().copied().max().unwrap_or(1);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // What a rank computes with must not depend on how many there are.
    let threads = (cores / most).max(1);
    let mut report = Report { threads_per_rank: threads, traffic: Vec::new(), cases: Vec::new() };
    let all = Members { args, ranks: &ranks, threads };

    let alone =
        |nodes| -> Result<RankStep> { Ok(all.run(1, Task::Step(args.step(nodes), Zero::Off))?.steps.swap_remove(0)) };
    let base = alone(args.nodes)?;
    for &count in counts.iter().filter(|&&count| count > 1) {
        let model = args.step(1).model();
        let model = model.map_err(|(key, message)| Error::Config { place: format!("--{key}"), message })?;
        let parameters = model.layout(1).count();
        let traffic = all.run(count, Task::Traffic(parameters.next_multiple_of(count)))?.traffic;
        report.traffic.push((count, traffic));
        for (scaling, nodes) in [("strong", args.nodes.div_ceil(count)), ("weak", args.nodes)] {
            let own = if scaling == "weak" { base.clone() } else { alone(nodes)? };
            for &zero in &args.zero {
                let steps = all.run(count, Task::Step(args.step(nodes), zero))?.steps;
                let seconds = steps.iter().map(|step| step.seconds).fold(0.0, f64::max);
                let cluster = Cluster {
                    ranks_per_node: count,
                    link: traffic.bandwidth,
                    network: traffic.bandwidth,
                    latency: traffic.latency,
                };
                let work = StepModel {
                    forward: own.gradients / 3.0,
                    backward: own.gradients * 2.0 / 3.0,
                    update: own.update,
                    weights: 4.0 * parameters as f64,
                    blocks: args.layers + 1,
                    recomputes: args.recompute != Recompute::None,
                };
                let more = (count * nodes) as f64 / args.nodes as f64;
                report.cases.push(Case {
                    scaling,
                    ranks: count,
                    zero,
                    nodes,
                    seconds,
                    predicted_seconds: cluster.predict(&work, count, zero).seconds,
                    speedup: more * base.seconds / seconds,
                    steps,
                });
            }
        }
    }
    super::ranks::leave();
    if !ranks.is_first() {
        return Ok(());
    }
    report.cases.insert(
        0,
        Case {
            scaling: "one",
            ranks: 1,
            zero: Zero::Off,
            nodes: args.nodes,
            seconds: base.seconds,
            predicted_seconds: base.seconds,
            speedup: 1.0,
            steps: vec![base],
        },
    );
    if args.json { print_json(&report) } else { print(&report) }
}

fn print(report: &Report) -> Result<()> {
    let row = |case: &Case| {
        let first = &case.steps[0];
        let largest = |value: fn(&RankStep) -> u64| case.steps.iter().map(value).max();
        vec![
            case.scaling.into(),
            case.ranks.to_string(),
            case.zero.to_string(),
            grouped(case.nodes),
            format!("{:.4} s", case.seconds),
            format!("{:.4} s", case.predicted_seconds),
            format!("{:.2}", case.speedup),
            format!("{:.1} %", 100.0 * first.waiting_share),
            bytes(Some(first.sent_bytes as u64)),
            bytes(largest(|step| step.held.parameters)),
            bytes(largest(|step| step.held.gradients)),
            bytes(largest(|step| step.held.optimizer)),
            bytes(first.peak_bytes),
        ]
    };
    let header = [
        "scaling",
        "ranks",
        "ZeRO",
        "nodes each",
        "step",
        "on paper",
        "speedup",
        "waits",
        "sent",
        "weights",
        "gradients",
        "optimizer",
        "peak",
    ];
    println!("{}", table(&header, report.cases.iter().map(row).collect()));
    for (ranks, traffic) in &report.traffic {
        println!(
            "{ranks} ranks: {:.2} GB/s from each in large messages, {:.0} µs for a small one; {} threads compute for each rank",
            1e-9 * traffic.bandwidth,
            1e6 * traffic.latency,
            report.threads_per_rank
        );
    }
    Ok(())
}

/// What ranks do together.
#[derive(Clone)]
enum Task {
    Step(StepConfig, Zero),
    Traffic(usize),
}

/// What they found, by rank.
struct Found {
    steps: Vec<RankStep>,
    traffic: Traffic,
}

struct Members<'a> {
    args: &'a Args,
    ranks: &'a Ranks,
    threads: usize,
}

impl Members<'_> {
    /// Does a task on the first `count` ranks.
    fn run(&self, count: usize, task: Task) -> Result<Found> {
        let on = |comm: Place, local_rank: usize| {
            let device = self.args.device.of_rank(local_rank);
            let work = OnDevice { task: task.clone(), place: comm };
            let pool = rayon::ThreadPoolBuilder::new().num_threads(self.threads).build();
            let pool = pool.map_err(|error| Error::Internal(format!("threads cannot be started: {error}")))?;
            pool.install(|| dispatch(&device, work))?
        };
        let all = match self.ranks.world() {
            // One rank of several: all measure it, each alone, so that none has to wait.
            Some(world) if count == 1 => on(Place::Alone, world.local_rank)?,
            Some(world) => on(Place::Process(world.clone()), world.local_rank)?,
            None if count == 1 => on(Place::Alone, 0)?,
            None => {
                let found = spawn(count, PATIENCE, |thread| {
                    let rank = thread.rank();
                    on(Place::Thread(thread), rank)
                });
                found.into_iter().collect::<Result<Vec<_>>>()?.swap_remove(0)
            }
        };
        Ok(all)
    }
}

enum Place {
    Alone,
    Thread(isograd::comm::Threads),
    Process(World),
}

struct OnDevice {
    task: Task,
    place: Place,
}

impl RunOn for OnDevice {
    type Output = Result<Found>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        let comm: Arc<dyn Communicator<B>> = match self.place {
            Place::Alone => Arc::new(Solo),
            Place::Thread(thread) => super::ranks::join(move || Ok(thread), &device, PATIENCE)?,
            Place::Process(world) => super::ranks::joined::<B>(&world, &device)?,
        };
        let mut found = Found { steps: Vec::new(), traffic: Traffic { bandwidth: 0.0, latency: 0.0 } };
        match self.task {
            Task::Step(config, zero) => {
                let own = bench_rank::<B>(&config, zero, comm.clone(), &device)?;
                found.steps = isograd::train::agree::all(&*comm, &own)?;
            }
            Task::Traffic(values) => found.traffic = bench_traffic::<B>(&*comm, values, &device)?,
        }
        Ok(found)
    }
}
