//! `isograd check`.

use std::path::PathBuf;

use isograd::equivariance::{Regression, Report, Settings};
use isograd::models::Registry;
use isograd::train::Backend;
use isograd::train::check_model;
use isograd::train::run::load_model;
use isograd::train::{Error, Result};
use isograd::train::{RunOn, dispatch};

use super::predict::DeviceOption;
use super::print_json;

#[derive(clap::Args)]
#[command(after_help = "Examples:
  isograd check runs/quickstart
  isograd check runs/quickstart --json > baseline.json
  isograd check runs/quickstart --baseline baseline.json
  isograd check runs/quickstart --only rotation --case 1234567    (the seed of a row)

Exit codes: 0 everything passed, 1 something failed or grew, 2 the input was wrong.")]
pub(crate) struct Args {
    /// Run directory; of several models, each is checked, and rows are those of the worst
    run: PathBuf,
    #[command(flatten)]
    device: DeviceOption,
    /// Cases per property
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(1..))]
    cases: u32,
    /// Decides all cases
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Only properties whose name contains this
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Only the case with this seed, as a row shows it
    #[arg(long, value_name = "SEED", requires = "only")]
    case: Option<u32>,
    /// An earlier report, written with --json: fail where an error has grown since
    #[arg(long, value_name = "FILE")]
    baseline: Option<PathBuf>,
    /// How much an error may grow over the baseline
    #[arg(long, default_value_t = 4.0, requires = "baseline")]
    factor: f64,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// The report and what has become worse.
#[derive(serde::Serialize)]
struct Outcome {
    #[serde(flatten)]
    report: Report,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    regressions: Vec<Regression>,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let baseline = args.baseline.as_deref().map(load_baseline).transpose()?;
    let opened = args.device.open(&args.run)?;
    let settings = Settings {
        cases: args.cases as usize,
        seed: args.seed,
        only: args.only.clone(),
        case: args.case,
        ..Settings::default()
    };
    let mut reports = Vec::new();
    // The mean of equivariant models is equivariant.
    for member in opened.run.members()? {
        let check = Check { weights: member.trained()?, settings: settings.clone() };
        reports.push(dispatch(&opened.device, check)??);
    }
    let report = reports.into_iter().reduce(Report::and);
    let mut report = report.ok_or_else(|| Error::Internal("a run has no model".into()))?;
    if report.rows.is_empty() {
        let name = args.only.unwrap_or_default();
        return Err(Error::Structure(format!("no property has `{name}` in its name; run without --only to see them")));
    }
    let regressions = baseline.map_or_else(Vec::new, |baseline| report.regressions(&baseline, args.factor));
    let held = report.passed;
    report.passed &= regressions.is_empty();
    let outcome = Outcome { report, regressions };
    if args.json {
        print_json(&outcome)?;
    } else {
        print!("{}", outcome.report);
        for regression in &outcome.regressions {
            println!("worse than the baseline: {regression}");
        }
    }
    match (held, outcome.regressions.len()) {
        (true, 0) => Ok(()),
        (true, count) => Err(Error::Check(format!("{count} errors have grown since the baseline"))),
        (false, _) => {
            let failed = outcome.report.rows.iter().filter(|row| !row.passed).count();
            Err(Error::Check(format!("{failed} of {} rows failed", outcome.report.rows.len())))
        }
    }
}

fn load_baseline(path: &std::path::Path) -> Result<Report> {
    let remedy = "`isograd check RUN --json > baseline.json` writes one";
    Report::load(path).map_err(|error| Error::Structure(format!("{error}; {remedy}")))
}

struct Check {
    weights: PathBuf,
    settings: Settings,
}

impl RunOn for Check {
    type Output = Result<Report, Error>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        let trained = load_model::<B>(&self.weights, &Registry::default(), &device)?;
        Ok(check_model(&trained, &device, &self.settings))
    }
}
