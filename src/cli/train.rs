//! `isograd train`.

use std::path::PathBuf;

use isograd::backends::device::{DeviceName, RunOn, dispatch};
use isograd::backends::memory::MeasuredBackend;
use isograd::core::config::Config;
use isograd::core::run::Summary;
use isograd::core::train::{Outcome, train};
use isograd::core::{Error, Result};

use super::progress::Display;
use super::tables::{bytes, grouped, metrics_rows, rate, table};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  isograd train examples/configs/quickstart.toml
  isograd train my.toml --set train.epochs=50 --set model.width=64 --out runs/small
  isograd train my.toml --device wgpu --resume")]
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
    /// Number of processes
    #[arg(long)]
    ranks: Option<usize>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let mut overrides = args.overrides;
    overrides.extend(args.ranks.map(|ranks| format!("parallel.ranks={ranks}")));
    let mut config = Config::load(&args.config, &overrides)?;
    if let Some(device) = args.device {
        config.train.device = device;
    }
    if let Some(out) = args.out {
        config.run.out = out;
    }
    let device = config.train.device.clone();
    let outcome = dispatch(&device, Train { config, resume: args.resume })??;
    print_outcome(&outcome);
    Ok(())
}

struct Train {
    config: Config,
    resume: bool,
}

impl RunOn for Train {
    type Output = Result<Outcome, Error>;

    fn run<B: MeasuredBackend<FloatElem = f32>>(self, device: B::Device) -> Self::Output {
        train::<B>(&self.config, self.resume, &device, &mut Display::new())
    }
}

fn print_outcome(outcome: &Outcome) {
    let summary = &outcome.summary;
    let rows = metrics_rows(&summary.best.validation, &summary.baseline);
    println!("{}", table(&["validation", "model", "baseline", "share"], rows));
    let train = &summary.train;
    let rows = [
        ("training", format!("{:.0} s, {} epochs, {} steps", train.seconds, train.epochs, grouped(train.steps))),
        ("best at step", grouped(summary.best.step)),
        ("throughput", format!("{}edges/s", rate(train.edges_per_second))),
        ("waiting for data", format!("{:.2} %", 100.0 * train.data_wait_share)),
        ("peak memory", format!("{}, planned {}", bytes(train.peak_bytes), bytes(Some(train.planned_bytes)))),
        ("parameters", grouped(summary.parameters)),
        ("device", summary.device.clone()),
        ("equivariance", equivariance(summary)),
        ("report", outcome.run.root().join("report.html").display().to_string()),
    ];
    println!("{}", table(&["run", ""], rows.into_iter().map(|(key, value)| vec![key.into(), value]).collect()));
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
