//! What a task needs of the data, and what of it a source has.

use isograd_data::Keys;
use isograd_data::audit::{Needs, Summary};
use isograd_tasks::{Label, Task};

use crate::config::{Config, SourceConfig};
use crate::{Error, Result};

/// A sentence about stresses that a task does not train on, where there are any.
pub fn unused_stresses(summary: &Summary, task: &Task) -> Option<String> {
    let used = task.targets.iter().any(|target| target.label == Label::Stress && target.weight > 0.0);
    let is_potential = task.targets.iter().any(|target| target.label == Label::Energy);
    (summary.with_stress > 0 && is_potential && !used).then(|| {
        format!(
            "its {} stresses are not trained on; to use them, set loss.stress_weight, with model.forces = \"gradient\"",
            summary.with_stress
        )
    })
}

/// What a task needs of the data.
pub(super) fn needs(task: &Task) -> Needs {
    let mut needs = Needs::default();
    for target in task.targets.iter().filter(|target| target.weight > 0.0) {
        match &target.label {
            Label::Energy => needs.energies = true,
            Label::Forces => needs.forces = true,
            Label::Stress => needs.stresses = true,
            Label::Column(key) => needs.columns.push(key.clone()),
        }
    }
    needs
}

/// What of it one source has to have: what it lacks may be in another one.
pub(super) fn needs_of_one(needs: &Needs, summary: &Summary, others: &[&Summary]) -> Needs {
    let elsewhere = |has: &dyn Fn(&Summary) -> bool| !has(summary) && others.iter().any(|other| has(other));
    let column = |key: &&String| !elsewhere(&|of| of.with_columns.contains_key(*key));
    Needs {
        energies: needs.energies && !elsewhere(&|of| of.with_energy > 0),
        forces: needs.forces && !elsewhere(&|of| of.with_forces > 0),
        stresses: needs.stresses && !elsewhere(&|of| of.with_stress > 0),
        columns: needs.columns.iter().filter(column).cloned().collect(),
    }
}

/// Sentences about what a source lacks and is trained on without.
pub(super) fn lacks(needs: &Needs, own: &Needs, name: &str) -> Vec<String> {
    let labels = [
        ("an energy", needs.energies && !own.energies),
        ("forces", needs.forces && !own.forces),
        ("a stress", needs.stresses && !own.stresses),
    ];
    let columns = needs.columns.iter().filter(|key| !own.columns.contains(key)).map(|key| format!("`{key}`"));
    let all = labels.into_iter().filter(|(_, lacking)| *lacking).map(|(label, _)| label.to_owned()).chain(columns);
    all.map(|label| format!("source `{name}`: no frame has {label}; it is trained on with what it has")).collect()
}

/// Refuses a source that is not fit for training.
pub(super) fn judge(config: &Config, needs: &Needs, source: &SourceConfig, summary: &Summary) -> Result<()> {
    let verdict = summary.verdict(config.data.suspicious, needs);
    verdict.map_err(|message| Error::Source { name: source.name.clone(), message })
}

/// Refuses masks and weights that are asked for and that no frame to train on has; what is held out may do without.
pub(super) fn has_named(source: &SourceConfig, summary: &Summary) -> Result<()> {
    let Keys { force_mask, weight, .. } = &source.keys;
    let lacking = [
        (force_mask, summary.with_force_mask, "column", "keys.force_mask"),
        (weight, summary.with_weight, "key", "keys.weight"),
    ];
    for (name, count, what, of) in lacking {
        if let Some(name) = name.as_ref().filter(|_| count == 0) {
            let message = format!("no frame has the {what} `{name}` of {of}");
            return Err(Error::Source { name: source.name.clone(), message });
        }
    }
    Ok(())
}
