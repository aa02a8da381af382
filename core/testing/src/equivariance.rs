//! The equivariance battery on a model with fresh weights, with its twin in double precision for the noise floor.

use isograd_equivariance::{Report, Settings, check};
use isograd_models::ModelBackend;
use isograd_ops::device::{CpuBackend, F64Backend};
use isograd_train::{Checked, WithTwin};

use crate::Subject;

/// Seed of the weights.
const SEED: u64 = 11;

/// What the battery finds on a backend.
pub fn report<B: ModelBackend>(subject: &Subject, cases: usize, device: &B::Device) -> Report {
    let model = subject.model();
    let layout = model.layout(1);
    let here = Default::default();
    let weights = layout.whole::<B>(SEED, device);
    let twins = layout.whole::<F64Backend>(SEED, &here);
    let heads: Vec<String> = (0..subject.heads).map(|head| head.to_string()).collect();
    let task = subject.task();
    let targets = &task.targets;
    let twin = Checked::new(&model, &layout, &twins, targets, heads.clone(), &here);
    let checked = WithTwin { model: Checked::new(&model, &layout, &weights, targets, heads, device), twin };
    check(&checked, &Settings { cases, batch: 256, ..Settings::default() })
}

/// Runs the battery in single and in double precision.
///
/// # Panics
/// Where the architecture does not keep what it [promises](isograd_models::Architecture::promises), or where one that promises
/// nothing is not caught.
pub fn holds(subject: &Subject, cases: usize) {
    judge(subject, &report::<F64Backend>(subject, cases, &Default::default()));
    judge(subject, &report::<CpuBackend>(subject, cases, &Default::default()));
}

/// Holds a report against what the architecture promises.
///
/// # Panics
/// As [`holds`].
pub fn judge(subject: &Subject, report: &Report) {
    let promises = subject.architecture.promises();
    if !promises.equivariant {
        let failed = report.row("rotation", "forces").is_some_and(|row| !row.passed);
        assert!(failed, "{}: is not equivariant, and the battery did not see it\n{report}", subject.name);
        return;
    }
    for row in &report.rows {
        let excused = !promises.smooth && row.transformation.ends_with("at the cutoff");
        assert!(row.passed || excused, "{}: {} of {}\n{report}", subject.name, row.transformation, row.output);
    }
}
