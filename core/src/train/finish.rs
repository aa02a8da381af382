//! The end of a run: what the best weights are worth, written down.

use isograd_backends::memory::MeasuredBackend;
use isograd_data::{pack, share};
use isograd_equivariance::Settings;

use super::check::{CASES_AFTER_TRAINING, check_potential};
use super::data::Prepared;
use super::evaluate::{baseline, evaluate};
use super::metrics::Tally;
use super::rank::Seat;
use crate::config::Config;
use crate::model::{self, Predictor};
use crate::run::report::{self, Report};
use crate::run::{EquivarianceSummary, MetricsLog, RunDirectory, Summary, TrainSummary, load_potential};
use crate::shard::agree;
use crate::{Error, Result, run};

/// What a finished run has to show.
pub struct Finished {
    /// The run directory.
    pub run: RunDirectory,
    /// The content of its `summary.json`.
    pub summary: Summary,
}

/// The errors of a model on all held-out structures, of which each rank predicts its share.
pub(super) fn evaluate_shared<B: MeasuredBackend<FloatElem = f32>>(
    model: &impl Predictor<B>,
    prepared: &Prepared,
    config: &Config,
    seat: &Seat<B>,
    device: &B::Device,
) -> Result<Tally> {
    let validation = &prepared.validation;
    let all: Vec<usize> = (0..validation.len()).collect();
    let own = share(&all, &validation.sizes, seat.comm.size()).swap_remove(seat.comm.rank());
    let train = &config.train;
    // Predicting may need all ranks: each goes through as many batches as the one that has most.
    let batches = pack(&own, &validation.sizes, train.budget()).len();
    let most = agree::numbers(&*seat.comm, [batches as f64])?.iter().fold(0.0, |most: f64, [count]| most.max(*count));
    let tally = evaluate(model, validation, &own, train.budget(), train.workers, device)?;
    (batches..most as usize).try_for_each(|_| model.idle())?;
    let mut tallies = agree::all(&*seat.comm, &tally)?.into_iter();
    let mut sum = tallies.next().unwrap_or(tally);
    tallies.for_each(|tally| sum.merge(tally));
    Ok(sum)
}

/// Writes summary and report from the best weights. All ranks predict; the first one writes.
pub(super) fn finish<B: MeasuredBackend<FloatElem = f32>>(
    run: &RunDirectory,
    prepared: &Prepared,
    config: &Config,
    seat: &Seat<B>,
    device: &B::Device,
    best: run::Best,
    train: TrainSummary,
) -> Result<Finished> {
    let potential = load_potential::<B>(&run.best_weights(), device)?;
    let tally = evaluate_shared(&potential.model, prepared, config, seat, device)?;
    if seat.comm.rank() > 0 {
        return Ok(Finished { run: run.clone(), summary: agree::first(&*seat.comm, &None)?.ok_or_else(no_summary)? });
    }
    let settings = Settings { cases: CASES_AFTER_TRAINING, ..Settings::default() };
    let equivariance = check_potential(&potential, device, &settings);
    let summary = Summary {
        best,
        baseline: baseline(&prepared.validation).metrics(),
        train,
        parameters: model::count(&potential.model),
        device: config.train.device.to_string(),
        equivariance: EquivarianceSummary { passed: equivariance.passed, worst: equivariance.worst.clone() },
    };
    let json = serde_json::to_vec_pretty(&summary).map_err(|error| Error::Internal(error.to_string()))?;
    run.write("summary.json", &json)?;
    let lines = MetricsLog::read(&run.metrics_file())?;
    let config = config.to_toml()?;
    let name = run.name();
    let page = report::render(&Report {
        name: &name,
        summary: &summary,
        lines: &lines,
        sources: &prepared.reports,
        warnings: &prepared.warnings,
        tally: &tally,
        equivariance: &equivariance,
        info: &prepared.info,
        config: &config,
    })?;
    run.write("report.html", page.as_bytes())?;
    let summary = agree::first(&*seat.comm, &Some(summary))?.ok_or_else(no_summary)?;
    Ok(Finished { run: run.clone(), summary })
}

fn no_summary() -> Error {
    Error::Internal("the first rank has no summary".into())
}
