//! A committee: several runs of one config, alike but for the seed of weights and order, and what they are together.
//!
//! Each member is a run of its own in `members/`, which is trained, resumed and used as any other. Beside them the run
//! directory has the config of all, and `committee.json`.

use isograd_models::Registry;
use isograd_tasks::Spread;

use crate::config::Config;
use crate::evaluate::predict_raw;
use crate::run::{CommitteeSummary, HeldOutSpread, MemberSummary, RunDirectory, load_model};
use crate::{Backend, Finished, Pass, Predicted, Predictor, Prepared, Result, Tallies, baseline};

/// A committee all of whose members are trained.
pub struct FinishedCommittee {
    /// The run directory.
    pub run: RunDirectory,
    /// The members, in order.
    pub members: Vec<Finished>,
    /// The content of its `committee.json`; nothing on ranks other than the first.
    pub summary: Option<CommitteeSummary>,
}

/// The configs of the members: with seeds from `train.seed` on, in a run directory each, and with the split of the first. The
/// config itself where it is of one model.
pub(crate) fn member_configs(config: &Config) -> Vec<Config> {
    if config.train.seeds == 1 {
        return vec![config.clone()];
    }
    let member = |place: usize| {
        let mut member = config.clone();
        member.data.split_seed = Some(config.split_seed());
        member.train.seed = config.train.seed.wrapping_add(place as u64);
        member.train.seeds = 1;
        member.run.out = RunDirectory::member(&config.run.out, place + 1);
        member
    };
    (0..config.train.seeds).map(member).collect()
}

/// Predicts the held-out structures by the best weights of all members, and writes down what they are together.
pub(crate) fn sum_up<B: Backend>(
    run: &RunDirectory,
    members: &[Finished],
    configs: &[Config],
    prepared: &Prepared,
    registry: &Registry,
    device: &B::Device,
) -> Result<CommitteeSummary> {
    let Prepared { validation, .. } = prepared;
    let train = &configs[0].train;
    let pass = Pass { workers: train.workers, ..Pass::over(validation, train.budget(), device) };
    let mut said = Vec::with_capacity(members.len());
    for member in members {
        let trained = load_model::<B>(&member.run.best_weights(), registry, device)?;
        let mut own = Vec::with_capacity(validation.len());
        predict_raw(&Predictor::of_trained(&trained), &pass, |predicted, _| {
            own.push(predicted.values);
            Ok(())
        })?;
        said.push(own);
    }
    let targets = &validation.task().targets;
    let mut tallies = Tallies::of(validation)?;
    let mut largest: Vec<Vec<f64>> = vec![Vec::new(); targets.len()];
    for index in 0..validation.len() {
        let mut values = Vec::with_capacity(targets.len());
        for (place, target) in targets.iter().enumerate() {
            let own: Vec<&[f64]> = said.iter().map(|member| member[index][place].as_slice()).collect();
            let Spread { mean, deviations } = Spread::of(&own, target.columns(validation.dims));
            largest[place].extend(target.largest_deviation(&deviations, validation.sizes[index].atoms));
            values.push(mean);
        }
        tallies.add(validation, &Predicted { index, values }, validation.labels(index)?);
    }
    let metrics = validation.task().metrics();
    let seeds = members.iter().zip(configs);
    let spread = targets.iter().zip(&largest);
    let summary = CommitteeSummary {
        members: seeds
            .map(|(member, config)| MemberSummary { seed: config.train.seed, best: member.summary.best.clone() })
            .collect(),
        validation: tallies.all.metrics(&metrics),
        baseline: baseline(validation)?.all.metrics(&metrics),
        structures: validation.len(),
        spread: spread
            .filter_map(|(target, own)| Some((target.name.clone(), HeldOutSpread::of(target, own)?)))
            .collect(),
    };
    summary.save(run)?;
    Ok(summary)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_differ_in_their_seeds_alone() {
        let text = "[data]\nfiles = [\"a.xyz\"]\n[run]\nout = \"runs/a\"\n";
        let config = Config::parse(text, &["train.seeds=3".into(), "train.seed=5".into()], "c").unwrap();
        let members = member_configs(&config);
        let own: Vec<_> = members.iter().map(|own| (own.train.seed, own.split_seed(), own.train.seeds)).collect();
        assert_eq!(own, [(5, 5, 1), (6, 5, 1), (7, 5, 1)]);
        assert!(members[2].run.out.ends_with("members/3"));
        let alike = |member: &Config| {
            let mut member = member.clone();
            member.train.seed = 5;
            member.training_hash()
        };
        assert!(members.iter().all(|member| alike(member) == members[0].training_hash()));
        let alone = Config::parse(text, &[], "c").unwrap();
        assert_eq!(member_configs(&alone), [alone]);
    }
}
