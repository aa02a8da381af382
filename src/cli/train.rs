//! `isograd train`.

use std::path::PathBuf;

use isograd::ops::device::DeviceName;
use isograd::train::config::Config;
use isograd::train::run::{CommitteeSummary, HeldOutSpread, RankSummary, Summary};
use isograd::train::{Error, Result};
use isograd::train::{Finished, FinishedCommittee, Outcome};

use super::processes::ProcessArgs;
use super::ranks::Ranks;
use super::tables::{bytes, grouped, metrics_rows, rate, table};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  isograd train examples/configs/quickstart.toml
  isograd train my.toml --set train.epochs=50 --set model.width=64 --out runs/small
  isograd train my.toml --device wgpu --resume
  isograd train my.toml --device cuda --ranks 4
  mpirun -n 8 isograd train my.toml --zero 2
  isograd train my.toml --rank 1 --world-size 2 --rendezvous node1:29400")]
pub(crate) struct Args {
    /// Config file (TOML)
    config: PathBuf,
    /// Override a key of the config, as in `--set train.epochs=50`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Device: cpu, wgpu, vulkan, metal or cuda, with an optional index as in cuda:1
    #[arg(long)]
    device: Option<DeviceName>,
    /// Run directory
    #[arg(long)]
    out: Option<PathBuf>,
    /// Go on from the latest snapshot in the run directory, if there is one
    #[arg(long)]
    resume: bool,
    /// Number of ranks in this process, a thread each; under mpirun or srun the processes are the ranks
    #[arg(long)]
    ranks: Option<usize>,
    /// ZeRO level, 0 to 3: what ranks own a piece of instead of all
    #[arg(long)]
    zero: Option<u8>,
    #[command(flatten)]
    processes: ProcessArgs,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let ranks = Ranks::find(&args.processes)?;
    ranks.be_quiet_unless_first();
    let outcome = match prepare_config(&args, &ranks) {
        Ok(config) => ranks.train(&config, args.resume)?,
        Err(error) => {
            ranks.tell(&error);
            return Err(error);
        }
    };
    if !ranks.is_first() {
        return Ok(());
    }
    match outcome {
        Outcome::Finished(finished) => {
            isograd::report::write(&finished)?;
            print_finished(&finished);
        }
        Outcome::Committee(committee) => {
            committee.members.iter().try_for_each(isograd::report::write)?;
            print_committee(&committee);
        }
        Outcome::Stopped { step, snapshot } => {
            eprintln!("stopped at step {step}; go on with --resume, from {}", snapshot.display());
        }
    }
    Ok(())
}

/// The config with the flags in it.
fn prepare_config(args: &Args, ranks: &Ranks) -> Result<Config> {
    let mut overrides = args.overrides.clone();
    overrides.extend(args.ranks.map(|ranks| format!("parallel.ranks={ranks}")));
    overrides.extend(args.zero.map(|zero| format!("parallel.zero={zero}")));
    let mut config = Config::load(&args.config, &overrides)?;
    if let Some(device) = &args.device {
        config.train.device = device.clone();
    }
    if let Some(out) = &args.out {
        config.run.out = out.clone();
    }
    if let Some(world) = ranks.world() {
        if let Some(asked) = args.ranks.filter(|&asked| asked != world.size) {
            let message =
                format!("is {asked}, but {} has started {} processes; leave it out", world.launcher, world.size);
            return Err(Error::Config { place: "--ranks".into(), message });
        }
        config.parallel.ranks = world.size;
    }
    Ok(config)
}

fn print_finished(outcome: &Finished) {
    let summary = &outcome.summary;
    let metrics = outcome.details.as_ref().map_or_else(Vec::new, |details| details.info.task.metrics());
    let rows = metrics_rows(&metrics, &summary.best.validation, &summary.baseline);
    println!("{}", table(&["validation", "model", "baseline", "share"], rows));
    let train = &summary.train;
    let rows = [
        ("training", format!("{:.0} s, {} epochs, {} steps", train.seconds, train.epochs, grouped(train.steps))),
        ("best at step", grouped(summary.best.step)),
        ("throughput", format!("{}edges/s", rate(train.edges_per_second))),
        ("waiting for data", format!("{:.2} %", 100.0 * train.data_wait_share)),
        ("peak memory", format!("{}, planned {}", bytes(train.peak_bytes), bytes(train.planned_bytes))),
        ("parameters", grouped(summary.parameters)),
        ("device", summary.device.clone()),
        ("equivariance", equivariance(summary)),
        ("forces", outcome.details.as_ref().and_then(|details| details.info.forces_are()).unwrap_or("-").to_owned()),
        ("report", outcome.run.root().join("report.html").display().to_string()),
    ];
    println!("{}", table(&["run", ""], rows.into_iter().map(|(key, value)| vec![key.into(), value]).collect()));
    if train.ranks.len() > 1 {
        print_ranks(&train.ranks);
    }
    // Once more, below all that has scrolled by since.
    summary.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
}

/// The errors of each member and of their mean, and how far they are apart.
fn print_committee(committee: &FinishedCommittee) {
    let details = committee.members.iter().find_map(|member| member.details.as_ref());
    let (Some(CommitteeSummary { members, validation, baseline, spread, .. }), Some(details)) =
        (&committee.summary, details)
    else {
        return;
    };
    let metrics = details.info.task.metrics();
    let names: Vec<String> = members.iter().map(|member| format!("seed {}", member.seed)).collect();
    let header = ["validation", "mean", "baseline", "share"].into_iter().chain(names.iter().map(String::as_str));
    let mut rows = metrics_rows(&metrics, validation, baseline);
    for (row, metric) in rows.iter_mut().zip(&metrics) {
        let shown = |value: Option<f64>| value.map_or("-".into(), |value| metric.shown(value));
        row.extend(members.iter().map(|member| shown(member.best.validation.get(&metric.key))));
    }
    println!("{}", table(&header.collect::<Vec<_>>(), rows));
    let row = |(name, own): (&String, &HeldOutSpread)| {
        let number = |value: f64| format!("{value:.2e} {}", own.unit);
        vec![name.clone(), number(own.median), number(own.percentile_99), number(own.maximum)]
    };
    println!("{}", table(&["spread of a structure", "median", "99 %", "largest"], spread.iter().map(row).collect()));
    println!("{} models in {}", members.len(), committee.run.root().display());
}

/// A row for each rank.
fn print_ranks(ranks: &[RankSummary]) {
    let row = |(rank, own): (usize, &RankSummary)| {
        let held = |count: u64| bytes(Some(count));
        vec![
            rank.to_string(),
            own.device.clone(),
            rate(own.edges_per_second),
            bytes(own.peak_bytes),
            held(own.held.parameters),
            held(own.held.gradients),
            held(own.held.optimizer),
            held(own.held.ema),
            format!("{:.1} %", 100.0 * own.communication_share),
            held(own.sent_bytes),
        ]
    };
    let header = [
        "rank",
        "device",
        "edges/s",
        "peak",
        "weights",
        "gradients",
        "optimizer",
        "average",
        "waits for ranks",
        "sent",
    ];
    println!("{}", table(&header, ranks.iter().enumerate().map(row).collect()));
}

/// One line on the check after training.
fn equivariance(summary: &Summary) -> String {
    let found = &summary.equivariance;
    match &found.worst {
        Some(worst) => {
            let result = if found.passed { "passed" } else { "FAILED, see `isograd check`" };
            format!("{result}, worst {:.1e} ({})", worst.error, worst.transformation)
        }
        None => "not checked".into(),
    }
}
