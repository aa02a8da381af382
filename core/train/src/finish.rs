//! The end of a run: what the best weights are worth, written down.

use isograd_data::{pack, share};
use isograd_equivariance::{Report, Settings};
use isograd_models::Registry;
use isograd_tasks::{BySource, ModelInfo, Tally};

use crate::config::Config;
use crate::job::Job;
use crate::run::{Best, EquivarianceSummary, RunDirectory, Summary, TrainSummary, load_model};
use crate::{
    Backend, CASES_AFTER_TRAINING, Error, Pass, Predictor, Result, SourceReport, Tallies, agree, baseline, check_model,
    evaluate,
};

/// What a finished run has to show.
pub struct Finished {
    /// The run directory.
    pub run: RunDirectory,
    /// The content of its `summary.json`.
    pub summary: Summary,
    /// What the first rank knows beside that.
    pub details: Option<Details>,
}

/// What a report is made of.
pub struct Details {
    /// Predictions of the best weights on the validation set.
    pub tally: Tally,
    /// Errors on the held-out structures of each source.
    pub by_source: BySource,
    /// What the equivariance harness found.
    pub equivariance: Report,
    /// The data.
    pub sources: Vec<SourceReport>,
    /// What the user was warned of.
    pub warnings: Vec<String>,
    /// What the model says of itself.
    pub info: ModelInfo,
    /// The resolved config.
    pub config: String,
}

/// The errors of a model on all held-out structures, of which each rank predicts its share.
pub(crate) fn evaluate_shared<B: Backend>(model: &Predictor<'_, B>, job: &Job<'_, B>) -> Result<Tallies> {
    let Job { config: Config { train, .. }, prepared, ranks, device, .. } = *job;
    let validation = &prepared.validation;
    let all: Vec<usize> = (0..validation.len()).collect();
    let own = share(&all, &validation.sizes, ranks.comm.size()).swap_remove(ranks.comm.rank());
    // Predicting may need all ranks: each goes through as many batches as the one that has most.
    let batches = pack(&own, &validation.sizes, train.budget()).len();
    let most = agree::numbers(&*ranks.comm, [batches as f64])?.iter().fold(0.0, |most: f64, [count]| most.max(*count));
    let over = Pass::over(validation, train.budget(), device);
    let found = evaluate(model, &Pass { members: own, workers: train.workers, ..over })?;
    (batches..most as usize).try_for_each(|_| model.idle())?;
    let mut all = agree::all(&*ranks.comm, &found)?.into_iter();
    let mut sum = all.next().unwrap_or(found);
    all.for_each(|tallies| sum.merge(tallies));
    Ok(sum)
}

/// Writes the summary from the best weights. All ranks predict; the first one checks and writes.
pub(crate) fn finish<B: Backend>(
    job: &Job<'_, B>,
    registry: &Registry,
    best: Best,
    train: TrainSummary,
) -> Result<Finished> {
    let Job { config, run, prepared, ranks, device } = *job;
    let trained = load_model::<B>(&run.best_weights(), registry, device)?;
    let tallies = evaluate_shared(&Predictor::of_trained(&trained), job)?;
    if ranks.comm.rank() > 0 {
        let summary = agree::first(&*ranks.comm, &None)?.ok_or_else(no_summary)?;
        return Ok(Finished { run: run.clone(), summary, details: None });
    }
    let settings = Settings { cases: CASES_AFTER_TRAINING, ..Settings::default() };
    let equivariance = check_model(&trained, device, &settings);
    let validation = &prepared.validation;
    let summary = Summary {
        best,
        baseline: baseline(validation)?.all.metrics(&validation.task().metrics()),
        train,
        parameters: trained.layout.count(),
        device: config.train.device.to_string(),
        equivariance: EquivarianceSummary { passed: equivariance.passed, worst: equivariance.worst.clone() },
    };
    let json = serde_json::to_vec_pretty(&summary).map_err(|error| Error::Internal(error.to_string()))?;
    run.write("summary.json", &json)?;
    let names = prepared.info.sources.iter().map(|source| source.name.clone());
    let by_source = tallies.by_source(&validation.task().metrics(), names);
    let details = Details {
        tally: tallies.all,
        by_source,
        equivariance,
        sources: prepared.reports.clone(),
        warnings: prepared.warnings.clone(),
        info: (*prepared.info).clone(),
        config: config.to_toml()?,
    };
    let summary = agree::first(&*ranks.comm, &Some(summary))?.ok_or_else(no_summary)?;
    Ok(Finished { run: run.clone(), summary, details: Some(details) })
}

fn no_summary() -> Error {
    Error::Internal("the first rank has no summary".into())
}
