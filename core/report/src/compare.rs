//! Runs beside each other: what each came to, where their configs differ, and whether that comparison is fair.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use isograd_tasks::{Metric, Metrics};
use isograd_train::run::{LogLine, Record, RunState, SampleSet, Start, Summary};
use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

use super::Result;

/// Runs beside each other. As JSON, everything but the lines of their logs.
#[derive(Debug, Serialize)]
pub struct Comparison {
    /// The runs, in the order they are named in.
    pub runs: Vec<ComparedRun>,
    /// What at least one of them was validated by.
    #[serde(serialize_with = "names_and_units")]
    pub metrics: Vec<Metric>,
    /// The settings in which they differ.
    pub differences: Vec<Difference>,
    /// Why numbers must not be compared.
    pub warnings: Vec<String>,
}

/// One run; a number that is not known is `None`.
#[derive(Debug, Serialize)]
pub struct ComparedRun {
    /// The end of its path, as far as it takes to tell it from the others.
    pub name: String,
    /// Its directory.
    pub path: PathBuf,
    /// How far it is; of a run that is not finished, numbers are those so far.
    pub state: RunState,
    /// `[task] kind`.
    pub task: String,
    /// `[model] kind`.
    pub kind: String,
    /// Scalars in the model.
    pub parameters: Option<usize>,
    /// Structures, or graphs, that it is trained on.
    pub training: Option<SampleSet>,
    /// Those that it is validated on.
    pub validation: Option<SampleSet>,
    /// Steps made.
    pub steps: Option<usize>,
    /// Epochs done.
    pub epochs: Option<f64>,
    /// Seconds trained.
    pub seconds: Option<f64>,
    /// Steps per second of training, validations included.
    pub steps_per_second: Option<f64>,
    /// Step of the best validation.
    pub best_step: Option<usize>,
    /// Errors in it.
    pub errors: Metrics,
    /// Errors of predicting reference energies and zero forces, which are known at the end.
    pub baseline: Metrics,
    /// Where it is trained.
    pub device: String,
    /// How many ranks share the work.
    pub ranks: usize,
    /// Most bytes held.
    pub peak_bytes: Option<u64>,
    /// Its log.
    #[serde(skip)]
    pub lines: Vec<LogLine>,
}

/// A setting that is not the same in all runs.
#[derive(Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Its full name, as in `train.seed`.
    pub key: String,
    /// Its value in each run; `None` where it is not set.
    pub values: Vec<Option<Json>>,
}

/// What stands in a table, for whoever draws one to write it as is usual there.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Words, or a number with its digits.
    Text(String),
    /// A count.
    Count(usize),
    /// Bytes.
    Bytes(u64),
}

/// A row of a table: what it is about, and an entry for each run, `None` where there is nothing to say.
pub type Row = (String, Vec<Option<Cell>>);

/// Written in every run, and different in every run.
const PLACE: &str = "run.out";

impl Comparison {
    /// Reads run directories and compares them.
    ///
    /// # Errors
    /// [`Error::Run`](crate::Error::Run) naming a folder that is no run directory, or what is damaged in one.
    pub fn read(paths: &[PathBuf]) -> Result<Self> {
        let records = paths.iter().map(|path| Record::read(path)).collect::<Result<Vec<_>, _>>()?;
        let mut metrics: Vec<Metric> = Vec::new();
        let mut tasks = Vec::new();
        for record in &records {
            let task = record.config.task()?;
            let new = |metric: &Metric| metrics.iter().all(|known| known.key != metric.key);
            metrics.extend(task.metrics().into_iter().filter(new).collect::<Vec<_>>());
            tasks.push(task.kind);
        }
        let differences = differences(&records.iter().map(|record| &record.settings).collect::<Vec<_>>());
        let names = names(&records.iter().map(|record| record.directory.root()).collect::<Vec<_>>());
        let runs = records.into_iter().zip(names).zip(tasks);
        let runs: Vec<ComparedRun> = runs.map(|((record, name), task)| ComparedRun::of(record, name, task)).collect();
        metrics.retain(|metric| runs.iter().any(|run| run.errors.get(&metric.key).is_some()));
        let warnings = warnings(&runs, &differences);
        Ok(Self { runs, metrics, differences, warnings })
    }

    /// What each run is and came to.
    pub fn rows(&self) -> Vec<Row> {
        let text = |text: String| Some(Cell::Text(text));
        let count = |value: Option<usize>| value.map(Cell::Count);
        let number = |value: Option<f64>, digits: usize| value.and_then(|value| text(format!("{value:.digits$}")));
        let structures = |set: &Option<SampleSet>| count(set.as_ref().map(|set| set.structures));
        let mut rows = vec![
            self.row("state", |run| text(said(run.state).into())),
            self.row("task", |run| text(run.task.clone())),
            self.row("kind", |run| text(run.kind.clone())),
            self.row("parameters", |run| count(run.parameters)),
            self.row("training structures", |run| structures(&run.training)),
            self.row("held-out structures", |run| structures(&run.validation)),
            self.row("steps", |run| count(run.steps)),
            self.row("epochs", |run| number(run.epochs, usize::from(run.epochs.is_some_and(|own| own.fract() > 0.0)))),
            self.row("training time", |run| run.seconds.map(duration).and_then(text)),
            self.row("steps/s", |run| number(run.steps_per_second, 1)),
            self.row("device", |run| text(run.device.clone())),
            self.row("ranks", |run| count(Some(run.ranks))),
            self.row("peak memory", |run| run.peak_bytes.map(Cell::Bytes)),
            self.row("best at step", |run| count(run.best_step)),
        ];
        for metric in &self.metrics {
            let name = format!("{}, {}", metric.name, metric.unit);
            rows.push(self.row(name.trim_end_matches(", "), |run| text(run.error(metric)?)));
        }
        rows
    }

    /// The settings in which the runs differ.
    pub fn difference_rows(&self) -> Vec<Row> {
        let cell = |value: &Option<Json>| {
            value.as_ref().map(|value| Cell::Text(value.as_str().map_or_else(|| value.to_string(), str::to_owned)))
        };
        self.differences.iter().map(|own| (own.key.clone(), own.values.iter().map(cell).collect())).collect()
    }

    fn row(&self, name: &str, cell: impl Fn(&ComparedRun) -> Option<Cell>) -> Row {
        (name.to_owned(), self.runs.iter().map(cell).collect())
    }
}

impl ComparedRun {
    fn of(record: Record, name: String, task: String) -> Self {
        let Record { directory, state, config, start, lines, best, summary, .. } = record;
        let last = lines.last();
        let train = summary.as_ref().map(|summary| &summary.train);
        let steps = train.map(|train| train.steps).or(last.map(|line| line.step));
        let seconds = train.map(|train| train.seconds).or(last.map(|line| line.seconds));
        let baseline = summary.as_ref().map(|summary| summary.baseline.clone());
        Self {
            name,
            path: directory.root().to_owned(),
            state,
            task,
            kind: config.model.kind,
            parameters: match (&summary, &start) {
                (Some(Summary { parameters, .. }), _) | (None, Some(Start { parameters, .. })) => Some(*parameters),
                (None, None) => None,
            },
            steps,
            epochs: last.map(|line| line.epoch).or(train.map(|train| train.epochs as f64)),
            seconds,
            steps_per_second: steps.zip(seconds).filter(|(_, seconds)| *seconds > 0.0).map(|(n, s)| n as f64 / s),
            best_step: best.as_ref().map(|best| best.step),
            errors: best.map_or_else(Metrics::default, |best| best.validation),
            baseline: baseline.unwrap_or_default(),
            device: config.train.device.to_string(),
            ranks: config.parallel.ranks,
            peak_bytes: train.map_or_else(|| last.and_then(|line| line.peak_bytes), |train| train.peak_bytes),
            training: start.as_ref().map(|start| start.training.clone()),
            validation: start.map(|start| start.validation),
            lines,
        }
    }

    /// An error with its share of the baseline's.
    fn error(&self, metric: &Metric) -> Option<String> {
        let value = self.errors.get(&metric.key)?;
        let base = self.baseline.get(&metric.key).filter(|base| metric.is_error && *base > 1e-9);
        let share = base.map_or(String::new(), |base| format!(" ({:.1} %)", 100.0 * value / base));
        Some(metric.shown(value) + &share)
    }
}

fn names_and_units<S: Serializer>(metrics: &[Metric], serializer: S) -> std::result::Result<S::Ok, S::Error> {
    let named = |own: &Metric| json!({ "key": own.key, "name": own.name, "unit": own.unit });
    serializer.collect_seq(metrics.iter().map(named))
}

/// A state in a word.
fn said(state: RunState) -> &'static str {
    match state {
        RunState::Finished => "finished",
        RunState::Running => "running",
        RunState::Unfinished => "unfinished",
    }
}

/// A time as one would say it.
fn duration(seconds: f64) -> String {
    match seconds {
        600.0.. if seconds >= 7200.0 => format!("{:.1} h", seconds / 3600.0),
        600.0.. => format!("{:.1} min", seconds / 60.0),
        _ => format!("{seconds:.0} s"),
    }
}

/// The ends of paths, each as long as it takes to be that of no other path.
fn names(paths: &[&Path]) -> Vec<String> {
    let end = |path: &Path, parts: usize| -> PathBuf {
        let all: Vec<_> = path.components().collect();
        all[all.len().saturating_sub(parts)..].iter().collect()
    };
    let name = |path: &&Path| {
        let is_own = |parts: &usize| paths.iter().all(|other| other == path || end(other, *parts) != end(path, *parts));
        let parts = (1..=path.components().count()).find(is_own).unwrap_or(usize::MAX);
        end(path, parts).display().to_string()
    };
    paths.iter().map(name).collect()
}

/// The settings that are not the same in all runs, by name.
fn differences(settings: &[&BTreeMap<String, Json>]) -> Vec<Difference> {
    let keys: BTreeSet<&String> = settings.iter().flat_map(|own| own.keys()).filter(|key| *key != PLACE).collect();
    let all = keys.into_iter().map(|key| {
        let values = settings.iter().map(|own| own.get(key).cloned()).collect();
        Difference { key: key.clone(), values }
    });
    all.filter(|own| own.values.windows(2).any(|pair| pair[0] != pair[1])).collect()
}

/// Structures of a run, where they are known.
type Structures = fn(&ComparedRun) -> Option<&SampleSet>;

/// Why numbers must not be compared.
fn warnings(runs: &[ComparedRun], differences: &[Difference]) -> Vec<String> {
    let mut warnings = Vec::new();
    for run in runs.iter().filter(|run| run.state != RunState::Finished) {
        warnings.push(format!(
            "{} is {}: its numbers are those so far",
            run.name,
            match run.state {
                RunState::Running => "still running",
                _ => "not finished",
            }
        ));
    }
    let parts: [(&str, Structures); 2] = [
        ("errors do not compare: runs are validated on", |run| run.validation.as_ref()),
        ("runs are trained on", |run| run.training.as_ref()),
    ];
    for (what, set) in parts {
        // Runs of different tasks have different labels, and no error in common.
        let differ =
            |a: &ComparedRun, b: &ComparedRun| a.task == b.task && set(a).zip(set(b)).is_some_and(|(a, b)| a != b);
        if runs.iter().any(|a| runs.iter().any(|b| differ(a, b))) {
            warnings.push(format!("{what} different structures or labels: {}", groups(runs, set)));
        }
    }
    let keys = |own: &dyn Fn(&str) -> bool| -> Vec<&str> {
        differences.iter().map(|difference| difference.key.as_str()).filter(|key| own(key)).collect()
    };
    if let Some(unknown) = runs.iter().find(|run| run.validation.is_none()) {
        let split = keys(&decides_data);
        if !split.is_empty() {
            warnings.push(format!(
                "errors may not compare: {} does not say what it is validated on, as runs of older versions do not, and {} \
                 differ",
                unknown.name,
                split.join(", ")
            ));
        }
    }
    let loss = keys(&|key| key.starts_with("loss.") || key.starts_with("task."));
    if !loss.is_empty() {
        warnings.push(format!(
            "training losses do not compare: {} {}",
            loss.join(", "),
            match loss.len() {
                1 => "differs",
                _ => "differ",
            }
        ));
    }
    warnings
}

/// Whether a setting decides which structures are held out, and what they are.
fn decides_data(key: &str) -> bool {
    let of_training = ["data.fraction", "data.sampling", "data.resident", "data.replica_width", "data.leakage"];
    key == "train.seed" || key.starts_with("data.") && !of_training.contains(&key)
}

/// Which runs have which structures: `a, b on 750; c on 640`.
fn groups(runs: &[ComparedRun], set: Structures) -> String {
    let mut groups: Vec<(&SampleSet, Vec<&str>)> = Vec::new();
    for run in runs {
        let Some(own) = set(run) else { continue };
        match groups.iter_mut().find(|(known, _)| *known == own) {
            Some((_, names)) => names.push(&run.name),
            None => groups.push((own, vec![&run.name])),
        }
    }
    let group = |(set, names): &(&SampleSet, Vec<&str>)| format!("{} on {}", names.join(", "), set.structures);
    groups.iter().map(group).collect::<Vec<_>>().join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_as_long_as_it_takes() {
        let of = |paths: &[&str]| names(&paths.iter().map(Path::new).collect::<Vec<_>>());
        assert_eq!(of(&["runs/a", "runs/b/"]), ["a", "b"]);
        assert_eq!(of(&["x/one/run", "x/two/run", "mine"]), ["one/run", "two/run", "mine"]);
        assert_eq!(of(&["run", "x/run"]), ["run", "x/run"]);
        assert_eq!(of(&["a", "a"]), ["a", "a"]);
    }

    #[test]
    fn times_are_said_in_what_suits_them() {
        assert_eq!([9.6, 900.0, 86_400.0].map(duration), ["10 s", "15.0 min", "24.0 h"]);
    }

    #[test]
    fn settings_that_are_the_same_and_the_place_are_left_out() {
        let of = |all: &[(&str, Json)]| all.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let a: BTreeMap<_, _> = of(&[("run.out", "a".into()), ("train.seed", 1.into()), ("model.width", 8.into())]);
        let b: BTreeMap<_, _> = of(&[("run.out", "b".into()), ("train.seed", 2.into()), ("model.width", 8.into())]);
        let c: BTreeMap<_, _> = of(&[("run.out", "c".into()), ("train.seed", 1.into())]);
        let found = differences(&[&a, &b, &c]);
        let keys: Vec<&str> = found.iter().map(|own| own.key.as_str()).collect();
        assert_eq!(keys, ["model.width", "train.seed"]);
        assert_eq!(found[0].values, [Some(8.into()), Some(8.into()), None]);
    }
}
