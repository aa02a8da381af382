//! `isograd eval`.

use std::path::PathBuf;
use std::sync::Arc;

use isograd::data::Collection;
use isograd::data::formats::Formats;
use isograd::models::Registry;
use isograd::tasks::{Metrics, ModelInfo};
use isograd::train::Backend;
use isograd::train::run::load_model;
use isograd::train::{Dataset, Part, Pass, Predictor, baseline, evaluate, survey};
use isograd::train::{Error, Result};
use isograd::train::{RunOn, dispatch};

use super::predict::UseOptions;
use super::print_json;
use super::tables::{counted, metrics_rows, summary_table, table};

#[derive(clap::Args)]
#[command(after_help = "Example:\n  isograd eval runs/quickstart held-out.extxyz --json")]
pub(crate) struct Args {
    /// Run directory
    run: PathBuf,
    /// Labelled structure files, with the keys and units of the run's source
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Leave out structures with elements that the model was not trained on, instead of refusing them
    #[arg(long)]
    skip_unknown: bool,
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
        let trained = load_model::<B>(&opened.weights, &Registry::default(), &device)?;
        let (index, source) = args.options.source(&trained.info)?;
        let limits = opened.config.data.limits();
        let (structures, summary) =
            survey(&Formats::default(), &source, &args.files, &limits, trained.info.model.cutoff)?;
        for warning in summary.warnings() {
            eprintln!("warning: {warning}");
        }
        if structures.is_empty() {
            eprintln!("{}", summary_table("files", &summary));
            return Err(Error::Structure("no structure with labels is left to evaluate on".into()));
        }
        let structures = known(structures, &trained.info, index, args.skip_unknown)?;
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
