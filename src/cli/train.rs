//! `isograd train`.

use std::path::{Path, PathBuf};

use isograd::ops::device::DeviceName;
use isograd::train::config::Config;
use isograd::train::run::{CommitteeSummary, HeldOutSpread, RankSummary, RunDirectory, Summary};
use isograd::train::{DraftOptions, Error, Finished, FinishedCommittee, Outcome, Result, name_of};

use super::init::{self, Time};
use super::processes::ProcessArgs;
use super::ranks::Ranks;
use super::tables::{bytes, counted, grouped, metrics_rows, rate, table};

/// Bytes of a file that may be a config.
const LARGEST_CONFIG: u64 = 1 << 20;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  isograd train mine.extxyz --hours 1
  isograd train examples/configs/quickstart.toml
  isograd train my.toml --set train.epochs=50 --set model.width=64 --out runs/small
  isograd train my.toml --device wgpu --resume
  isograd train my.toml --device cuda --ranks 4
  isograd train my.toml --log csv,tensorboard
  mpirun -n 8 isograd train my.toml --zero 2
  isograd train my.toml --rank 1 --world-size 2 --rendezvous node1:29400 --job-key job.key")]
pub(crate) struct Args {
    /// Config file (TOML); or structure files, for which the config is made that `isograd init` would write
    #[arg(required = true)]
    inputs: Vec<PathBuf>,
    #[command(flatten)]
    time: Time,
    /// Override a key of the config, as in `--set train.epochs=50`; may be repeated
    #[arg(long = "set", value_name = "KEY=VALUE")]
    overrides: Vec<String>,
    /// Device: cpu, wgpu, vulkan, metal or cuda, with an optional index as in cuda:1
    #[arg(long)]
    device: Option<DeviceName>,
    /// Run directory
    #[arg(long)]
    out: Option<PathBuf>,
    /// Keep the log in this form as well, beside metrics.jsonl; several with commas
    #[arg(long, value_name = "FORMAT", value_delimiter = ',', value_parser = ["csv", "tensorboard"])]
    log: Vec<String>,
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
    if !args.log.is_empty() {
        overrides.push(format!("run.log={:?}", args.log));
    }
    let mut config = match &args.inputs[..] {
        [path] if is_config(path) => {
            let seconds = args.time.seconds()?;
            overrides.extend(seconds.map(|seconds| format!("train.seconds={seconds:?}")));
            Config::load(path, &overrides)?
        }
        files => config_of(files, args, ranks, &overrides)?,
    };
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

/// Whether a file is a config: it is called one, or reads like one.
fn is_config(path: &Path) -> bool {
    let reads_like_one = || {
        let is_small = path.metadata().is_ok_and(|file| file.is_file() && file.len() <= LARGEST_CONFIG);
        is_small && std::fs::read_to_string(path).is_ok_and(|text| Config::is_in(&text))
    };
    path.extension().is_some_and(|end| end.eq_ignore_ascii_case("toml")) || reads_like_one()
}

/// The config that fits structure files, or that of the run which goes on.
fn config_of(files: &[PathBuf], args: &Args, ranks: &Ranks, overrides: &[String]) -> Result<Config> {
    if let Some(path) = files.iter().find(|path| is_config(path)) {
        let message = "is a config beside other files; name it alone, or structure files alone".into();
        return Err(Error::Config { place: path.display().to_string(), message });
    }
    let out = args.out.clone().unwrap_or_else(|| Path::new("runs").join(name_of(files)));
    let seconds = args.time.seconds()?;
    let mut overrides = overrides.to_vec();
    let begun = out.join("config.toml");
    // What was chosen when the run began stays, also on a machine with other memory.
    if args.resume && begun.exists() {
        overrides.extend(seconds.map(|seconds| format!("train.seconds={seconds:?}")));
        let mut config = Config::load(&begun, &overrides)?;
        if let [source] = &mut config.data.sources[..] {
            source.files = files.to_vec();
        }
        config.run.out = out;
        return Ok(config);
    }
    if !args.resume && ranks.is_first() {
        RunDirectory::check_free(&out)?;
    }
    // All ranks have to make the same config, and machines may differ.
    let memory = if ranks.world().is_some() { None } else { init::memory(args.device.as_ref()) };
    let options = DraftOptions { seconds, memory, device: args.device.clone(), folder: None };
    let made = init::look(files, &options)?;
    let mut config = Config::parse(&made.text, &overrides, "the config that was made")?;
    if config.run.out.as_os_str().is_empty() {
        config.run.out = out;
    }
    if ranks.is_first() {
        made.said.iter().for_each(|line| eprintln!("{line}"));
        eprintln!(
            "the config was made for it and is saved as {}; `isograd init` writes it with comments",
            config.run.out.join("config.toml").display()
        );
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
        (
            "training",
            format!("{:.0} s, {}, {}", train.seconds, counted(train.epochs, "epoch"), counted(train.steps, "step")),
        ),
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
            rate(own.edges_per_second).trim_end().to_owned(),
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
