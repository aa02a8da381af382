//! `isograd eval` where several models answer together: errors of their mean, and whether their spread is as large as errors.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use isograd::data::Collection;
use isograd::report::render_calibration;
use isograd::structure::Structure;
use isograd::tasks::{Calibration, Measure, Metric, Metrics, SpreadErrors, Tally, Task};
use isograd::train::{Dataset, Error, Part, Result, baseline};
use isograd::{Committee, CommitteeValues, Values};

use super::committee::Beyond;
use super::print_json;
use super::tables::{grouped, metrics_rows, table};

/// Structures that are held and predicted together.
const CHUNK: usize = 512;

#[derive(serde::Serialize)]
struct Report {
    structures: usize,
    atoms: usize,
    /// Of the mean over the members.
    metrics: Metrics,
    baseline: Metrics,
    device: String,
    members: Vec<MemberReport>,
    /// By the names of targets.
    calibration: BTreeMap<String, Calibration>,
    /// How many structures there are on which members are farther apart than on any that was held out.
    beyond_validation: Option<usize>,
}

#[derive(serde::Serialize)]
struct MemberReport {
    run: PathBuf,
    metrics: Metrics,
}

/// What is found, structure by structure.
struct Found {
    mean: Tally,
    members: Vec<Tally>,
    /// Target by target.
    spreads: Vec<SpreadErrors>,
    beyond: Beyond,
    atoms: usize,
}

/// Evaluates on structures of the source at this position; writes a page where one is asked for.
pub(crate) fn run(
    committee: &Committee,
    structures: Collection,
    source: usize,
    json: bool,
    page: Option<&PathBuf>,
) -> Result<()> {
    let info = committee.first().info();
    let (task, metrics) = (&info.task, info.task.metrics());
    let tally = Tally::new(&vec![0; task.targets.len()]);
    let mut found = Found {
        mean: tally.clone(),
        members: vec![tally; committee.members().len()],
        spreads: vec![SpreadErrors::default(); task.targets.len()],
        beyond: Beyond::default(),
        atoms: 0,
    };
    for start in (0..structures.len()).step_by(CHUNK) {
        let indices = start..structures.len().min(start + CHUNK);
        let structure = |index| -> Result<Structure> { Ok(structures.structure(index)?.into_owned()) };
        let chunk: Vec<Structure> = indices.clone().map(structure).collect::<Result<_>>()?;
        for ((index, structure), own) in indices.zip(&chunk).zip(committee.predict(&chunk)?) {
            found.add(task, structure, &own);
            found.beyond.count(&own, index);
        }
    }
    let of_target = |place: usize| metrics.iter().find(|own| own.target == place && own.measure == Measure::Rmse);
    let calibration = task.targets.iter().zip(&found.spreads).enumerate().filter_map(|(place, (target, spreads))| {
        let Metric { factor, unit, .. } = of_target(place)?;
        Some((target.name.clone(), spreads.calibration(*factor, unit)?))
    });
    let count = structures.len();
    let part = Part { graphs: structures, source, cost: 1.0 };
    let report = Report {
        structures: count,
        atoms: found.atoms,
        metrics: found.mean.metrics(&metrics),
        baseline: baseline(&Dataset::of_structures(vec![part], Arc::new(info.clone()))?)?.all.metrics(&metrics),
        device: committee.first().device().to_string(),
        calibration: calibration.collect(),
        members: committee
            .runs()
            .iter()
            .zip(&found.members)
            .map(|(run, tally)| MemberReport { run: run.clone(), metrics: tally.metrics(&metrics) })
            .collect(),
        beyond_validation: committee.summary().map(|_| found.beyond.len()),
    };
    if let Some(page) = page {
        let title = format!("{} structures, {} models", report.structures, report.members.len());
        let html = render_calibration(&title, &report.calibration)?;
        std::fs::write(page, html).map_err(Error::io(page, "write"))?;
        eprintln!("reliability plots written to {}", page.display());
    }
    match json {
        true => print_json(&report)?,
        false => print_report(&report, &metrics, task),
    }
    found.beyond.warn(count);
    Ok(())
}

impl Found {
    fn add(&mut self, task: &Task, structure: &Structure, found: &CommitteeValues) {
        let atoms = structure.len();
        self.atoms += atoms;
        for (place, target) in task.targets.iter().enumerate() {
            let Some(label) = target.masked_label_of(structure) else { continue };
            let of = |values: &Values| values.get(&target.name).unwrap_or_default().to_vec();
            let mean = of(&found.mean);
            if mean.is_empty() {
                continue;
            }
            self.mean.add(place, target, atoms, 3, &label, &mean);
            for (tally, own) in self.members.iter_mut().zip(&found.members) {
                tally.add(place, target, atoms, 3, &label, &of(own));
            }
            if let Some(deviations) = &found.deviations {
                self.spreads[place].add(target, atoms, 3, &label, &mean, &of(deviations));
            }
        }
    }
}

fn print_report(report: &Report, metrics: &[Metric], task: &Task) {
    let Report { structures, atoms, members, calibration, .. } = report;
    println!(
        "{} structures, {} atoms, {} models, on {}",
        grouped(*structures),
        grouped(*atoms),
        members.len(),
        report.device
    );
    println!(
        "{}",
        table(&["errors", "mean", "baseline", "share"], metrics_rows(metrics, &report.metrics, &report.baseline))
    );
    let names: Vec<String> = members.iter().map(|member| member.run.display().to_string()).collect();
    let header: Vec<&str> = std::iter::once("errors of").chain(names.iter().map(String::as_str)).collect();
    let row = |metric: &Metric| {
        let shown = |own: &MemberReport| {
            let value = own.metrics.get(&metric.key);
            value.map_or("-".into(), |value| format!("{} {}", metric.shown(value), metric.unit).trim_end().to_owned())
        };
        std::iter::once(metric.name.clone()).chain(members.iter().map(shown)).collect()
    };
    println!("{}", table(&header, metrics.iter().map(row).collect()));
    let known = task.targets.iter().filter_map(|target| Some((target.name.as_str(), calibration.get(&target.name)?)));
    let known: Vec<(&str, &Calibration)> = known.collect();
    if known.is_empty() {
        return;
    }
    let header: Vec<&str> = std::iter::once("spread").chain(known.iter().map(|own| own.0)).collect();
    let row = |name: &str, value: &dyn Fn(&Calibration) -> String| -> Vec<String> {
        std::iter::once(name.to_owned()).chain(known.iter().map(|own| value(own.1))).collect()
    };
    let plain = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.3}"));
    let rows = vec![
        row("RMSE of the mean", &|own| format!("{:.3} {}", own.rmse, own.unit)),
        row("spread, root mean square", &|own| format!("{:.3} {}", own.spread, own.unit)),
        row("RMSE / spread", &|own| plain(own.factor)),
        row("rank correlation with errors", &|own| plain(own.rank_correlation)),
        row("negative log-likelihood", &|own| plain(own.negative_log_likelihood)),
        row("the same with spreads scaled", &|own| plain(own.scaled_negative_log_likelihood)),
    ];
    println!("{}", table(&header, rows));
    for (name, own) in known {
        let title = format!("{name}, by spread");
        let row = |(place, bin): (usize, &isograd::tasks::ReliabilityBin)| {
            let number = |value: f64| format!("{value:.3} {}", own.unit);
            vec![(place + 1).to_string(), grouped(bin.points), number(bin.spread), number(bin.rmse)]
        };
        let rows = own.bins.iter().enumerate().map(row).collect();
        println!("{}", table(&[&title, "points", "spread", "RMSE"], rows));
    }
}
