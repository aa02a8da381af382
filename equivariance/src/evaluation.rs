//! Cases to errors: evaluations are gathered into batches, answers checked for shape and compared.

use crate::System;
use crate::case::{Case, Request};
use crate::comparison::{Comparison, largest};
use crate::description::{Description, Kind, Precision};
use crate::model::{Model, Outputs};

/// What a case showed about each output: `None` where an output is not concerned, a message where
/// the model gave no usable answer.
pub(crate) type Finding = Result<Vec<Option<Comparison>>, String>;

/// An error, relative to the output's scale.
#[derive(Debug, Clone, Copy)]
pub(crate) struct CaseError {
    /// Beyond what the method itself makes; infinite where an answer is missing or not a number.
    pub(crate) size: f64,
    /// The least noise, from the errors of single evaluations.
    pub(crate) rounding: f64,
}

/// A model with what was learned about it.
pub(crate) struct Subject<'a, M: ?Sized> {
    pub(crate) model: &'a M,
    pub(crate) description: Description,
    /// Systems per batch.
    pub(crate) batch: usize,
    /// Root mean square of each output over ordinary systems, per node for extensive ones.
    pub(crate) scales: Vec<f64>,
    /// How far each output is from that in double precision, relative; zero where the model has no such.
    pub(crate) precision: Vec<f64>,
    /// The best arithmetic that there is: double where the model has such, or its own.
    pub(crate) best: Precision,
}

impl<M: Model + ?Sized> Subject<'_, M> {
    /// What each case shows.
    pub(crate) fn findings(&self, cases: &[Case]) -> Vec<Finding> {
        let requests: Vec<Vec<Request>> =
            cases.iter().map(|case| case.requests(&self.description, self.best)).collect();
        let (mut any, mut exact) = (Vec::new(), Vec::new());
        for request in requests.iter().flatten() {
            match request {
                Request::Any(system) => any.push(system),
                Request::Exact(system) => exact.push(system),
                Request::Together(_) | Request::Shuffled(..) => {}
            }
        }
        let mut any = self.gathered(&any, |systems| self.together(systems)).into_iter();
        let mut exact = self.gathered(&exact, |systems| self.exact(systems)).into_iter();
        let missing = || Err("an answer is missing".into());
        let mut findings = Vec::with_capacity(cases.len());
        for (case, requests) in cases.iter().zip(requests) {
            let answers: Vec<Result<Vec<Outputs>, String>> = requests
                .iter()
                .map(|request| match request {
                    Request::Any(_) => any.next().unwrap_or_else(missing).map(|outputs| vec![outputs]),
                    Request::Exact(_) => exact.next().unwrap_or_else(missing).map(|outputs| vec![outputs]),
                    Request::Together(systems) => self.together(systems),
                    Request::Shuffled(system, seed) => self.shuffled(system, *seed),
                })
                .collect();
            let answers: Result<Vec<_>, String> = answers.into_iter().collect();
            findings.push(answers.map(|answers| case.compare(&self.description, self.best, &answers)));
        }
        findings
    }

    /// Outputs of systems in batches of at most [`Self::batch`]. Where a batch fails, each of its
    /// systems is tried alone, so that one bad input does not spoil the others.
    fn gathered(
        &self,
        systems: &[&System],
        evaluate: impl Fn(&[System]) -> Result<Vec<Outputs>, String>,
    ) -> Vec<Result<Outputs, String>> {
        let one = |system: &System| evaluate(std::slice::from_ref(system)).map(|mut answer| answer.remove(0));
        let mut answers = Vec::with_capacity(systems.len());
        for chunk in systems.chunks(self.batch.max(1)) {
            let owned: Vec<System> = chunk.iter().map(|&system| system.clone()).collect();
            match evaluate(&owned) {
                Ok(outputs) => answers.extend(outputs.into_iter().map(Ok)),
                Err(_) => answers.extend(owned.iter().map(one)),
            }
        }
        answers
    }

    pub(crate) fn together(&self, systems: &[System]) -> Result<Vec<Outputs>, String> {
        self.checked(systems, self.model.evaluate(systems).map_err(|error| error.to_string())?)
    }

    /// In double precision where the model has such.
    fn exact(&self, systems: &[System]) -> Result<Vec<Outputs>, String> {
        match self.model.evaluate_f64(systems) {
            Some(answers) => self.checked(systems, answers.map_err(|error| error.to_string())?),
            None => self.together(systems),
        }
    }

    fn shuffled(&self, system: &System, seed: u64) -> Result<Vec<Outputs>, String> {
        let batch = std::slice::from_ref(system);
        let answer = self.model.evaluate_shuffled(batch, seed).ok_or("the model cannot shuffle its edges")?;
        self.checked(batch, answer.map_err(|error| error.to_string())?)
    }

    /// Answers of the declared shape.
    pub(crate) fn checked(&self, systems: &[System], answers: Vec<Outputs>) -> Result<Vec<Outputs>, String> {
        if answers.len() != systems.len() {
            return Err(format!("{} answers to {} systems", answers.len(), systems.len()));
        }
        let (declared, dimensions) = (&self.description.outputs, self.description.dimensions);
        for (system, outputs) in systems.iter().zip(&answers) {
            if outputs.len() != declared.len() {
                return Err(format!("{} outputs, {} are declared", outputs.len(), declared.len()));
            }
            for (output, values) in declared.iter().zip(outputs) {
                let expected = match output.kind {
                    Kind::Scalar => continue,
                    Kind::NodeScalar if values.len().is_multiple_of(system.len().max(1)) => continue,
                    Kind::NodeScalar => system.len(),
                    Kind::Vector => dimensions,
                    Kind::NodeVector | Kind::NodePoint => system.len() * dimensions,
                    Kind::Tensor => dimensions * dimensions,
                };
                if values.len() != expected {
                    return Err(format!("output `{}` has {} values, expected {expected}", output.name, values.len()));
                }
            }
        }
        Ok(answers)
    }

    /// The scale of an output in a case: what is usual for it, or what is there if that is more.
    pub(crate) fn scale(&self, output: usize, case: &Case, comparison: &Comparison) -> f64 {
        let declared = &self.description.outputs[output];
        let nodes = if declared.extensive && !declared.kind.per_node() { case.nodes() as f64 } else { 1.0 };
        let usual = self.scales[output] * nodes;
        let here = comparison.expected.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
        let scale = if here.is_finite() { usual.max(here) } else { usual };
        if scale > 0.0 { scale } else { 1.0 }
    }

    /// What an output is off by in a case; `None` if it is not concerned.
    pub(crate) fn error(&self, output: usize, case: &Case, finding: &Finding) -> Option<CaseError> {
        let comparison = match finding {
            Ok(comparisons) => comparisons.get(output)?.as_ref()?,
            Err(_) => return Some(CaseError { size: f64::INFINITY, rounding: 0.0 }),
        };
        let scale = self.scale(output, case, comparison);
        let size = comparison.errors().map_or(f64::INFINITY, |errors| largest(&errors));
        // Near the cutoff a jitter of the inputs changes next to nothing, so it does not show this.
        let rounding = (comparison.rounding / scale).max(comparison.gain * self.precision[output]);
        Some(CaseError { size: (size - comparison.slack).max(0.0) / scale, rounding })
    }

    /// How far two findings of one case are apart in an output, relative to its scale; infinite where one is no answer.
    pub(crate) fn apart(&self, output: usize, case: &Case, one: &Finding, other: &Finding) -> f64 {
        let of = |finding: &'_ Finding| finding.as_ref().ok().and_then(|all| all.get(output).cloned().flatten());
        let (Some(one), Some(other)) = (of(one), of(other)) else { return f64::INFINITY };
        let sides = [(&one.found, &other.found), (&one.expected, &other.expected)];
        let most = sides.map(|(a, b)| {
            let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
            if a.len() == b.len() { largest(&differences) } else { f64::INFINITY }
        });
        most[0].max(most[1]) / self.scale(output, case, &one)
    }
}
