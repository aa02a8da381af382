//! `isograd eval`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use comfy_table::Table;
use isograd::data::Collection;
use isograd::data::audit::Limits;
use isograd::data::formats::Formats;
use isograd::models::Registry;
use isograd::tasks::{Metric, Metrics, ModelInfo, Tally};
use isograd::train::Backend;
use isograd::train::run::load_model;
use isograd::train::{Dataset, Part, Pass, Predictor, baseline, evaluate_groups, survey};
use isograd::train::{Error, Result};
use isograd::train::{RunOn, dispatch};

use super::committee::CommitteeArgs;
use super::predict::UseOptions;
use super::tables::{counted, grouped, metrics_rows, summary_table, table};
use super::{eval_committee, print_json};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  isograd eval runs/quickstart held-out.extxyz --json
  isograd eval runs/quickstart held-out.extxyz --by config_type
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
    /// Also show errors for each value of this key of frames, such as config_type
    #[arg(long, value_name = "KEY")]
    by: Option<String>,
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
    /// By the values of the key that was asked for.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    by: BTreeMap<String, Share>,
}

/// Structures that have one value of a key.
#[derive(serde::Serialize)]
struct Share {
    structures: usize,
    metrics: Metrics,
}

/// Shown in place of the value of a key that a structure lacks.
const WITHOUT: &str = "-";

pub(crate) fn run(args: Args) -> Result<()> {
    let opened = args.options.device.open(&args.run)?;
    if !args.committee.is_of_one(&opened)? {
        if args.by.is_some() {
            let message = "is for one model; leave out --with, or name one of the members' runs";
            return Err(Error::Config { place: "--by".into(), message: message.into() });
        }
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
        let (names, group) = values_of(&structures, args.by.as_deref())?;
        let dataset = Arc::new(Dataset::of_structures(
            vec![Part { graphs: structures, source: index, cost: 1.0 }],
            trained.info.clone(),
        )?);
        let train = &opened.config.train;
        let pass = Pass { workers: train.workers, ..Pass::over(&dataset, train.budget(), &device) };
        let (tallies, parts) = evaluate_groups(&Predictor::of_trained(&trained), &pass, &group, names.len())?;
        let by = |(place, (name, tally)): (usize, (&String, &Tally))| {
            let structures = group.iter().filter(|own| **own == place).count();
            (name.clone(), Share { structures, metrics: tally.metrics(&metrics) })
        };
        let by = names.iter().zip(&parts).enumerate().filter(|_| args.by.is_some()).map(by).collect();
        let report = Report {
            structures: dataset.len(),
            atoms: dataset.sizes.iter().map(|sizes| sizes.atoms).sum(),
            metrics: tallies.all.metrics(&metrics),
            baseline: baseline(&dataset)?.all.metrics(&metrics),
            device: opened.device.to_string(),
            by,
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
        if let Some(key) = &args.by {
            println!("{}", table_by(key, &report.by, &metrics));
        }
        Ok(())
    }
}

/// A row for each value of a key.
fn table_by(key: &str, by: &BTreeMap<String, Share>, metrics: &[Metric]) -> Table {
    let metrics: Vec<&Metric> = metrics.iter().filter(|metric| metric.is_error).collect();
    let names = metrics.iter().map(|metric| format!("{}\n{}", metric.name, metric.unit));
    let header: Vec<String> = [key.to_owned(), "structures".into()].into_iter().chain(names).collect();
    let row = |(value, share): (&String, &Share)| {
        let number = |metric: &&Metric| share.metrics.get(&metric.key).map_or("-".into(), |value| metric.shown(value));
        let of_value = [value.clone(), grouped(share.structures)];
        of_value.into_iter().chain(metrics.iter().map(number)).collect()
    };
    table(&header.iter().map(String::as_str).collect::<Vec<_>>(), by.iter().map(row).collect())
}

/// The values of the key that structures are told apart by, and which of them each has; one value of all where none is asked
/// for.
fn values_of(structures: &Collection, key: Option<&str>) -> Result<(Vec<String>, Vec<usize>)> {
    let Some(key) = key else { return Ok((vec![String::new()], vec![0; structures.len()])) };
    let value = |index| Ok(structures.structure(index)?.group.clone().unwrap_or_else(|| WITHOUT.into()));
    let values: Vec<String> = (0..structures.len()).map(value).collect::<Result<_>>()?;
    let names: Vec<String> = values.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect();
    if names == [WITHOUT] {
        let message =
            format!("is `{key}`, which no frame has; `isograd data info FILES` lists the keys that there are");
        return Err(Error::Config { place: "--by".into(), message });
    }
    let place = |value: &String| names.partition_point(|name| name < value);
    let group = values.iter().map(place).collect();
    Ok((names, group))
}

/// The labelled structures of the files that a model can be evaluated on, and the position of their source.
fn labelled(args: &Args, limits: &Limits, info: &ModelInfo) -> Result<(Collection, usize)> {
    let (index, mut source) = args.options.source(info)?;
    if args.by.is_some() {
        source.keys.group.clone_from(&args.by);
    }
    let (structures, summary) = survey(&Formats::default(), &source, &args.files, limits, info.model.cutoff)?;
    for warning in summary.warnings() {
        eprintln!("warning: {warning}");
    }
    if let Some(name) = source.keys.force_mask.as_ref().filter(|_| summary.with_force_mask == 0) {
        eprintln!("warning: no frame has the column `{name}`: all forces are labels");
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
