//! `isograd eval`.

use std::path::PathBuf;
use std::sync::Arc;

use isograd::data::Collection;
use isograd::data::audit::Limits;
use isograd::data::formats::Formats;
use isograd::models::Registry;
use isograd::tasks::{Metrics, ModelInfo};
use isograd::train::Backend;
use isograd::train::run::load_model;
use isograd::train::{Dataset, Part, Pass, Predictor, baseline, evaluate, survey};
use isograd::train::{Error, Result};
use isograd::train::{RunOn, dispatch};

use super::committee::CommitteeArgs;
use super::predict::UseOptions;
use super::tables::{counted, metrics_rows, summary_table, table};
use super::{eval_committee, print_json};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  isograd eval runs/quickstart held-out.extxyz --json
  isograd eval runs/first held-out.extxyz --with runs/second -o reliability.html

Of several models, which are those of --with or those of a run with train.seeds, errors are those of their mean. Beside them stand
those of each, and how the spread over the models compares with errors.")]
pub(crate) struct Args {
    /// Run directory
    run: PathBuf,
    /// Labelled structure files, with the keys and units of the run's source
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Leave out structures with elements that the model was not trained on, instead of refusing them
    #[arg(long)]
    skip_unknown: bool,
    /// Where to write a page with reliability plots, of several models
    #[arg(short, long, value_name = "PAGE.html")]
    output: Option<PathBuf>,
    #[command(flatten)]
    committee: CommitteeArgs,
    #[command(flatten)]
    options: UseOptions,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(serde::Serialize)]
struct Report {
    structures: usize,
    atoms: usize,
    metrics: Metrics,
    baseline: Metrics,
    device: String,
}

pub(crate) fn run(args: Args) -> Result<()> {
    let opened = args.options.device.open(&args.run)?;
    if !args.committee.is_of_one(&opened)? {
        let (committee, _) = args.committee.load(&args.run, &args.options)?;
        let (structures, source) = labelled(&args, &opened.config.data.limits(), committee.first().info())?;
        return eval_committee::run(&committee, structures, source, args.json, args.output.as_ref());
    }
    if args.output.is_some() {
        let message = "is of several models, whose spread is plotted; name others by --with";
        return Err(Error::Config { place: "--output".into(), message: message.into() });
    }
    dispatch(&opened.device.clone(), Evaluate { args, opened })?
}

struct Evaluate {
    args: Args,
    opened: super::predict::Opened,
}

impl RunOn for Evaluate {
    type Output = Result<(), Error>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        let Self { args, opened } = self;
        let trained = load_model::<B>(&opened.run.trained()?, &Registry::default(), &device)?;
        let (structures, index) = labelled(&args, &opened.config.data.limits(), &trained.info)?;
        let metrics = trained.info.task.metrics();
        let dataset = Arc::new(Dataset::of_structures(
            vec![Part { graphs: structures, source: index, cost: 1.0 }],
            trained.info.clone(),
        )?);
        let train = &opened.config.train;
        let pass = Pass { workers: train.workers, ..Pass::over(&dataset, train.budget(), &device) };
        let tallies = evaluate(&Predictor::of_trained(&trained), &pass)?;
        let report = Report {
            structures: dataset.len(),
            atoms: dataset.sizes.iter().map(|sizes| sizes.atoms).sum(),
            metrics: tallies.all.metrics(&metrics),
            baseline: baseline(&dataset)?.all.metrics(&metrics),
            device: opened.device.to_string(),
        };
        if args.json {
            return print_json(&report);
        }
        let (structures, atoms) = (counted(report.structures, "structure"), counted(report.atoms, "atom"));
        println!("{structures}, {atoms}, on {}", report.device);
        if let Some(unlearned) = trained.info.unlearned() {
            eprintln!("{unlearned}");
        }
        let rows = metrics_rows(&metrics, &report.metrics, &report.baseline);
        println!("{}", table(&["errors", "model", "baseline", "share"], rows));
        Ok(())
    }
}

/// The labelled structures of the files that a model can be evaluated on, and the position of their source.
fn labelled(args: &Args, limits: &Limits, info: &ModelInfo) -> Result<(Collection, usize)> {
    let (index, source) = args.options.source(info)?;
    let (structures, summary) = survey(&Formats::default(), &source, &args.files, limits, info.model.cutoff)?;
    for warning in summary.warnings() {
        eprintln!("warning: {warning}");
    }
    if structures.is_empty() {
        eprintln!("{}", summary_table("files", &summary));
        return Err(Error::Structure("no structure with labels is left to evaluate on".into()));
    }
    Ok((known(structures, info, index, args.skip_unknown)?, index))
}

/// The structures whose elements the model was trained on: all of them, unless others are to be skipped.
fn known(structures: Collection, info: &ModelInfo, source: usize, skip: bool) -> Result<Collection> {
    let unknown = |index: &usize| info.check_elements(structures.elements_of(*index), source).err();
    let Some((first, error)) = (0..structures.len()).find_map(|index| unknown(&index).map(|error| (index, error)))
    else {
        return Ok(structures);
    };
    let place = structures.place(first)?;
    if !skip {
        return Err(Error::Structure(format!("{place}: {error}; --skip-unknown leaves such structures out")));
    }
    let all = structures.len();
    let kept = structures.with_elements(|elements| info.check_elements(elements, source).is_ok());
    eprintln!("warning: {} of {all} left out for their elements (first: {place})", all - kept.len());
    match kept.is_empty() {
        true => Err(Error::Structure("no structure is left whose elements the model was trained on".into())),
        false => Ok(kept),
    }
}
