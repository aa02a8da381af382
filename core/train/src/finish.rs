//! The end of a run: what the best weights are worth, written down.

use std::sync::Arc;

use isograd_data::{Batches, pack, share};
use isograd_equivariance::{Report, Settings};
use isograd_models::Registry;
use isograd_tasks::{BySource, ModelInfo, Tally};

use crate::config::Config;
use crate::evaluate::Labelled;
use crate::feed::{Feed, Walk};
use crate::job::Job;
use crate::run::{Best, EquivarianceSummary, RunDirectory, Summary, TrainSummary, load_model};
use crate::{
    Backend, CASES_AFTER_TRAINING, Dataset, Error, Predictor, Result, Sample, SourceReport, Tallies, agree, check_model,
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

/// What is found on all held-out samples, of which each rank goes through its share: `each` adds what it finds in a batch,
/// or in none, where other ranks still have one.
fn over_validation<B: Backend>(
    job: &Job<'_, B>,
    mut each: impl FnMut(&mut Tallies, Option<Labelled>) -> Result<()>,
) -> Result<Tallies> {
    let Job { config: Config { train, .. }, prepared, resident, ranks, .. } = *job;
    let dataset = prepared.validation.clone();
    let all: Vec<usize> = (0..dataset.len()).collect();
    let shared = share(&all, &dataset.sizes, ranks.comm.size());
    let batches: Vec<Batches> = shared.into_iter().map(|own| pack(own, &dataset.sizes, train.budget())).collect();
    let steps = 0..batches.iter().map(Batches::len).max().unwrap_or(0);
    let shares = move |step: usize| batches.iter().map(|own| own.get(step).unwrap_or_default().to_vec()).collect();
    let walk = Walk { dataset, held: resident.validation(), shares: Arc::new(shares), steps };
    let assemble = |dataset: &Dataset, own: &[usize], samples: Vec<Sample>| {
        (!own.is_empty()).then(|| Labelled::new(dataset, own, samples))
    };
    let mut tallies = Tallies::of(&prepared.validation)?;
    for labelled in Feed::new(&*ranks.comm, train, walk, Arc::new(assemble)) {
        each(&mut tallies, labelled?)?;
    }
    let mut all = agree::all(&*ranks.comm, &tallies)?.into_iter();
    let mut sum = all.next().unwrap_or(tallies);
    all.for_each(|tallies| sum.merge(tallies));
    Ok(sum)
}

/// The errors of a model on all held-out samples.
pub(crate) fn evaluate_shared<B: Backend>(model: &Predictor<'_, B>, job: &Job<'_, B>) -> Result<Tallies> {
    let dataset = &job.prepared.validation;
    over_validation(job, |tallies, labelled| match labelled {
        Some(labelled) => tallies.add_batch(dataset, labelled, model, job.device),
        // Predicting may need all ranks.
        None => model.idle(),
    })
}

/// The errors of predicting zero on all held-out samples, as [`baseline`](crate::baseline) has them.
fn baseline_shared<B: Backend>(job: &Job<'_, B>) -> Result<Tallies> {
    let dataset = &job.prepared.validation;
    over_validation(job, |tallies, labelled| {
        let Some(Labelled { members, labels, .. }) = labelled else { return Ok(()) };
        members.into_iter().zip(labels).for_each(|(index, labels)| tallies.add_zeros(dataset, index, labels));
        Ok(())
    })
}

/// Writes the summary from the best weights. All ranks predict; the first one checks and writes.
pub(crate) fn finish<B: Backend>(
    job: &Job<'_, B>,
    registry: &Registry,
    best: Best,
    train: TrainSummary,
) -> Result<Finished> {
    let Job { config, run, prepared, ranks, device, .. } = *job;
    let trained = load_model::<B>(&run.best_weights(), registry, device)?;
    let tallies = evaluate_shared(&Predictor::of_trained(&trained), job)?;
    let baseline = baseline_shared(job)?;
    if ranks.comm.rank() > 0 {
        let summary = agree::first(&*ranks.comm, &None)?.ok_or_else(no_summary)?;
        return Ok(Finished { run: run.clone(), summary, details: None });
    }
    let settings = Settings { cases: CASES_AFTER_TRAINING, ..Settings::default() };
    let equivariance = check_model(&trained, device, &settings);
    let validation = &prepared.validation;
    let task = validation.task();
    let baseline = baseline.all.metrics(&task.metrics());
    let mut warnings = prepared.warnings.clone();
    let unlearned = task.score(&baseline);
    if unlearned > 0.0 && best.score.is_some_and(|score| score >= unlearned) {
        warnings.push(
            "the errors are not below the baseline's, which looks at no structure: nothing was learned. Train longer, or look at \
             the data with `isograd data audit`"
                .into(),
        );
    }
    let summary = Summary {
        best,
        baseline,
        train,
        parameters: trained.layout.count(),
        device: config.train.device.to_string(),
        equivariance: EquivarianceSummary { passed: equivariance.passed, worst: equivariance.worst.clone() },
        start: prepared.start.as_ref().map(|start| start.report.clone()),
        warnings: warnings.clone(),
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
        warnings,
        info: (*prepared.info).clone(),
        config: config.to_toml()?,
    };
    let summary = agree::first(&*ranks.comm, &Some(summary))?.ok_or_else(no_summary)?;
    Ok(Finished { run: run.clone(), summary, details: Some(details) })
}

fn no_summary() -> Error {
    Error::Internal("the first rank has no summary".into())
}
