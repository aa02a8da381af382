//! Running all properties on a model.

use rand::RngExt;

use crate::case::Case;
use crate::comparison::largest;
use crate::evaluation::{Finding, Subject};
use crate::model::{Model, Twin};
use crate::property::{Property, case_seed, generator, properties};
use crate::report::{Counterexample, Report, Row};
use crate::sample::{Shape, system};
use crate::settings::{Settings, tolerance};
use crate::{Description, ForcesOf, Kind, Precision, StressOf, System, noise, shrink};

/// Cases whose noise gives the floor of a property, jitters of each, and jitters of a suspect.
const FLOOR_CASES: usize = 12;
const FLOOR_REPEATS: usize = 2;
const SUSPECT_REPEATS: usize = 8;
/// Suspects whose noise is measured together; when most of them fail, the rest are not measured: a
/// broken model has too many.
const SUSPECTS: usize = 24;
/// Errors above this share of what passes are suspects.
const SUSPICIOUS: f64 = 0.4;
/// Of so many cases one may be [ill-conditioned](Row::ill_conditioned).
const CASES_PER_ILL_CONDITIONED: usize = 20;
/// Systems that tell the usual size of each output.
const SCALE_SYSTEMS: usize = 32;

/// Checks everything that applies to a model.
///
/// ```
/// use isograd_equivariance::{Description, Precision, Settings, check, from_fn};
///
/// // The distances of all nodes from their centroid, summed.
/// let description = Description::new(3, Precision::F64).intensive_scalar("spread").nodes(2, 6);
/// let model = from_fn(description, |system| {
///     let centroid = system.centroid();
///     let distance = |row: &[f64]| row.iter().zip(&centroid).map(|(x, c)| (x - c).powi(2)).sum::<f64>().sqrt();
///     vec![vec![system.positions.iter().map(distance).sum()]]
/// });
/// let report = check(&model, &Settings::default());
/// assert!(report.passed, "{report}");
/// ```
///
/// # Panics
/// If the description claims something about an output that it does not declare, that is of another
/// kind than the claim needs, or of which it claims the same twice.
pub fn check<M: Model + ?Sized>(model: &M, settings: &Settings) -> Report {
    let description = model.describe();
    claims_are_about_outputs(&description);
    let outputs = description.outputs.len();
    let probe = generator_system(&description, settings.seed);
    let probe = std::slice::from_ref(&probe);
    let best = if model.evaluate_f64(probe).is_some() { Precision::F64 } else { description.precision };
    let mut subject = Subject {
        model,
        batch: settings.batch,
        scales: vec![1.0; outputs],
        precision: vec![0.0; outputs],
        best,
        description,
    };
    let (scales, precision) = calibrate(&subject, settings.seed);
    let warnings = subject.description.outputs.iter().zip(&scales).filter(|(_, scale)| **scale == 0.0);
    let warnings = warnings.map(|(output, _)| {
        format!("output `{}` was zero for all ordinary inputs: what holds for it says little", output.name)
    });
    let warnings = warnings.collect();
    (subject.scales, subject.precision) = (scales, precision);
    let shuffles = model.evaluate_shuffled(probe, 0).is_some();
    let (properties, skipped) = properties(&subject.description, shuffles);
    let wanted = |property: &&Property| settings.only.as_ref().is_none_or(|only| property.name.contains(only.as_str()));
    let rows = properties.iter().filter(wanted).flat_map(|property| rows_of(&subject, property, settings));
    Report::new(rows.collect(), skipped, warnings, settings, &subject.description)
}

fn claims_are_about_outputs(description: &Description) {
    let kind = |name: &String| {
        let index = description.index(name);
        assert!(index.is_some(), "Description: a claim about `{name}`, which is no output");
        index.map(|index| description.outputs[index].kind)
    };
    for name in description.zero_sum.iter().chain(&description.zero_torque) {
        assert!(kind(name) == Some(Kind::NodeVector), "Description: `{name}` is no vector of nodes to be summed");
    }
    for (place, ForcesOf { energy, forces }) in description.conservative.iter().enumerate() {
        assert!(kind(energy) == Some(Kind::Scalar), "Description: the energy `{energy}` is no scalar");
        assert!(kind(forces) == Some(Kind::NodeVector), "Description: the forces `{forces}` are no vector of nodes");
        let again = description.conservative[..place].iter().any(|other| &other.forces == forces);
        assert!(!again, "Description: the forces `{forces}` are those of two energies");
    }
    for (place, StressOf { energy, stress }) in description.stress_of.iter().enumerate() {
        assert!(kind(energy) == Some(Kind::Scalar), "Description: the energy `{energy}` is no scalar");
        let intensive = description.outputs.iter().any(|output| &output.name == stress && !output.extensive);
        let tensor = kind(stress) == Some(Kind::Tensor) && intensive;
        assert!(tensor, "Description: the stress `{stress}` is no intensive tensor");
        let again = description.stress_of[..place].iter().any(|other| &other.stress == stress);
        assert!(!again, "Description: the stress `{stress}` is that of two energies");
    }
}

fn generator_system(description: &Description, seed: u64) -> System {
    system(description, Shape::Ordinary, &mut generator(case_seed(seed, "probe", 0)))
}

/// The usual size of each output, and, for models that also run in double precision, how far it is
/// from that on the median system, relative.
fn calibrate<M: Model + ?Sized>(subject: &Subject<'_, M>, seed: u64) -> (Vec<f64>, Vec<f64>) {
    let description = &subject.description;
    let mut rng = generator(case_seed(seed, "scale", 0));
    let systems: Vec<System> = (0..SCALE_SYSTEMS).map(|_| system(description, Shape::Ordinary, &mut rng)).collect();
    let none = || vec![0.0; description.outputs.len()];
    let answers: Vec<_> = systems
        .chunks(subject.batch.max(1))
        .map(|chunk| subject.together(chunk))
        .collect::<Result<Vec<_>, _>>()
        .map_or_else(|_| Vec::new(), |answers| answers.concat());
    let mut scales = none();
    for (k, output) in description.outputs.iter().enumerate() {
        let (mut sum, mut count) = (0.0, 0usize);
        for (system, outputs) in systems.iter().zip(&answers) {
            let nodes = if output.extensive && !output.kind.per_node() { system.len() as f64 } else { 1.0 };
            let centroid = system.centroid();
            for (index, value) in outputs[k].iter().enumerate() {
                let point = output.kind == Kind::NodePoint;
                let value = if point { value - centroid[index % centroid.len()] } else { value / nodes };
                sum += if value.is_finite() { value * value } else { 0.0 };
                count += 1;
            }
        }
        scales[k] = (sum / count.max(1) as f64).sqrt();
    }
    let mut double = none();
    if let Some(Ok(exact)) = subject.model.evaluate_f64(&systems) {
        for k in 0..description.outputs.len() {
            let difference = |(a, b): (&crate::Outputs, &crate::Outputs)| {
                let size = largest(&b[k]).max(scales[k]);
                let errors: Vec<f64> = a[k].iter().zip(&b[k]).map(|(a, b)| a - b).collect();
                largest(&errors) / if size > 0.0 { size } else { 1.0 }
            };
            double[k] = quantile(answers.iter().zip(&exact).map(difference).collect(), 0.5);
        }
    }
    (scales, double)
}

/// The value below which a share of all values lies; zero without values.
fn quantile(mut values: Vec<f64>, share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let index = (share * values.len() as f64).ceil() as usize;
    values.get(index.clamp(1, values.len().max(1)) - 1).copied().unwrap_or(0.0)
}

/// One case with its place in the run.
struct Seen {
    seed: u32,
    case: Case,
    finding: Finding,
}

fn rows_of<M: Model + ?Sized>(subject: &Subject<'_, M>, property: &Property, settings: &Settings) -> Vec<Row> {
    let seeds: Vec<u32> = match settings.case {
        Some(seed) => vec![seed],
        None => (0..settings.cases).map(|index| case_seed(settings.seed, &property.name, index)).collect(),
    };
    let cases: Vec<Case> =
        seeds.iter().map(|&seed| (property.sample)(&subject.description, &mut generator(seed))).collect();
    let findings = subject.findings(&cases);
    let seen: Vec<Seen> = seeds
        .into_iter()
        .zip(cases)
        .zip(findings)
        .map(|((seed, case), finding)| Seen { seed, case, finding })
        .collect();
    let mut rng = generator(case_seed(settings.seed, &property.name, usize::MAX));
    let first: Vec<_> = seen.iter().take(FLOOR_CASES).map(|seen| (&seen.case, &seen.finding)).collect();
    let noises = noise::of_cases(subject, &first, FLOOR_REPEATS, &mut rng);
    let outputs = subject.description.outputs.iter().enumerate();
    let concerned = outputs.filter(|(_, output)| {
        let question = seen.first().map(|seen| &seen.case.question);
        question.is_some_and(|q| Property::concerns(q, output.kind, &output.name, &subject.description))
    });
    concerned
        .map(|(k, _)| {
            let measured = quantile(noises.iter().map(|noise| noise[k]).collect(), 0.5);
            let floor = measured.max(subject.precision[k]).max(subject.description.precision.epsilon());
            row_of(subject, property, settings, &seen, k, floor, rng.random())
        })
        .collect()
}

/// What one case showed about one output.
struct Judged<'a> {
    seen: &'a Seen,
    error: f64,
    noise: f64,
    passes: f64,
    /// Whether rounding, or the method in single precision, is off by more than the limit, and double precision decides that the case is
    /// right.
    ill_conditioned: bool,
}

impl Judged<'_> {
    fn ratio(&self) -> f64 {
        if self.error.is_finite() { self.error / self.passes } else { f64::INFINITY }
    }
}

/// Errors, noise and tolerance of an output in every case. Where an error is no small part of what
/// passes, the noise of that very case is measured.
fn judged<'a, M: Model + ?Sized>(
    subject: &Subject<'_, M>,
    settings: &Settings,
    seen: &'a [Seen],
    output: usize,
    floor: f64,
    seed: u32,
) -> Vec<Judged<'a>> {
    let passes = |case: &Case, noise: f64| tolerance(&subject.description, settings, case, noise);
    let mut all: Vec<Judged<'_>> = seen
        .iter()
        .filter_map(|seen| {
            let found = subject.error(output, &seen.case, &seen.finding)?;
            let noise = floor.max(found.rounding);
            let passes = passes(&seen.case, noise);
            Some(Judged { seen, error: found.size, noise, passes, ill_conditioned: false })
        })
        .collect();
    let suspects: Vec<usize> =
        (0..all.len()).filter(|&k| all[k].error.is_finite() && all[k].error > SUSPICIOUS * all[k].passes).collect();
    let mut rng = generator(seed);
    for group in suspects.chunks(SUSPECTS) {
        let cases: Vec<_> = group.iter().map(|&k| (&all[k].seen.case, &all[k].seen.finding)).collect();
        let noises = noise::of_cases(subject, &cases, SUSPECT_REPEATS, &mut rng);
        for (&k, noises) in group.iter().zip(noises) {
            all[k].noise = all[k].noise.max(noises[output]);
            all[k].passes = passes(&all[k].seen.case, all[k].noise);
        }
        if group.iter().filter(|&&k| all[k].ratio() > 1.0).count() > SUSPECTS / 2 {
            break;
        }
    }
    for judged in all.iter_mut().filter(|judged| judged.ratio() > 1.0) {
        let explained = settings.tolerance * judged.noise;
        if is_rounded(subject, judged.seen, output, explained) && holds_in_double(subject, &judged.seen.case, output) {
            (judged.passes, judged.ill_conditioned) = (explained.max(judged.error), true);
        }
    }
    all
}

/// A model in single precision as its twin in double precision, which is asked as a model of some precision is; `None` where there is no twin.
fn in_double<'a, M: Model + ?Sized>(
    subject: &Subject<'_, M>,
    twin: &'a Twin<'a, M>,
    asked_as: Precision,
) -> Option<Subject<'a, Twin<'a, M>>> {
    (subject.best != subject.description.precision).then(|| Subject {
        model: twin,
        description: Description { precision: asked_as, ..twin.describe() },
        batch: subject.batch,
        scales: subject.scales.clone(),
        precision: vec![0.0; subject.precision.len()],
        best: Precision::F64,
    })
}

/// Whether single precision says what double precision says to the very same questions, but for what rounding explains. An error
/// is then one of the model, or of the method, such as the extrapolation of what is steep at the cutoff.
fn is_rounded<M: Model + ?Sized>(subject: &Subject<'_, M>, seen: &Seen, output: usize, explained: f64) -> bool {
    let twin = Twin(subject.model);
    let Some(double) = in_double(subject, &twin, subject.description.precision) else { return false };
    let finding = double.findings(std::slice::from_ref(&seen.case)).remove(0);
    subject.apart(output, &seen.case, &seen.finding, &finding) <= explained
}

/// Whether a model in single precision that has a twin in double precision does what is asked, there, where steps are finer.
fn holds_in_double<M: Model + ?Sized>(subject: &Subject<'_, M>, case: &Case, output: usize) -> bool {
    let twin = Twin(subject.model);
    let Some(double) = in_double(subject, &twin, Precision::F64) else { return false };
    let finding = double.findings(std::slice::from_ref(case)).remove(0);
    let limit = Precision::F64.limit() * Property::allowance(&case.question);
    double.error(output, case, &finding).is_some_and(|found| found.size <= limit)
}

fn row_of<M: Model + ?Sized>(
    subject: &Subject<'_, M>,
    property: &Property,
    settings: &Settings,
    seen: &[Seen],
    output: usize,
    floor: f64,
    seed: u32,
) -> Row {
    let mut judged = judged(subject, settings, seen, output, floor, seed);
    let ill_conditioned = judged.iter().filter(|judged| judged.ill_conditioned).count();
    if ill_conditioned > (judged.len() / CASES_PER_ILL_CONDITIONED).max(1) {
        // Rounding is what this output is made of.
        for judged in judged.iter_mut().filter(|judged| judged.ill_conditioned) {
            judged.passes = tolerance(&subject.description, settings, &judged.seen.case, judged.noise);
        }
    }
    let errors: Vec<f64> = judged.iter().map(|judged| judged.error).collect();
    let failures = judged.iter().filter(|judged| judged.ratio() > 1.0).count();
    let mut row = Row {
        transformation: property.name.clone(),
        output: subject.description.outputs[output].name.clone(),
        cases: errors.len(),
        failures,
        ill_conditioned,
        error: 0.0,
        maximum: errors.iter().copied().fold(0.0, f64::max),
        percentile_99: quantile(errors, 0.99),
        noise_floor: floor,
        tolerance: 0.0,
        passed: failures == 0,
        seed: settings.case.unwrap_or(0),
        counterexample: None,
    };
    // The case that is furthest above, or least below, what passes.
    if let Some(worst) = judged.iter().max_by(|a, b| a.ratio().total_cmp(&b.ratio())) {
        (row.error, row.noise_floor, row.tolerance) = (worst.error, worst.noise, worst.passes);
        row.seed = worst.seen.seed;
        if !row.passed {
            let shrunk = shrink::smallest(subject, settings, &worst.seen.case, output, floor);
            row.counterexample = Some(Counterexample::new(subject, shrunk, output));
        }
    }
    row
}
