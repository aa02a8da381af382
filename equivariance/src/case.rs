//! One case of a check: its inputs, the evaluations it needs, and what they should agree on.

use serde::{Deserialize, Serialize};

use crate::comparison::Comparison;
use crate::conservation::Differences;
use crate::description::{Description, Kind, Precision};
use crate::model::Outputs;
use crate::question::Question;
use crate::{System, Transformation, conservation, cutoff};

/// A question about one or several systems.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Case {
    /// The inputs.
    pub systems: Vec<System>,
    /// What is asked of them.
    pub question: Question,
}

/// An evaluation that a case needs.
pub(crate) enum Request {
    /// In whatever batch.
    Any(System),
    /// The same, in the best arithmetic that there is.
    Exact(System),
    /// In a batch of exactly these.
    Together(Vec<System>),
    /// Alone, with edges shuffled.
    Shuffled(System, u64),
}

impl Request {
    /// What the model is given.
    pub(crate) fn systems(&self) -> &[System] {
        match self {
            Self::Any(system) | Self::Exact(system) | Self::Shuffled(system, _) => std::slice::from_ref(system),
            Self::Together(systems) => systems,
        }
    }
}

impl Case {
    /// The evaluations that it takes. `best` is the arithmetic of exact ones.
    pub(crate) fn requests(&self, description: &Description, best: Precision) -> Vec<Request> {
        let first = &self.systems[0];
        let differences = Differences { description, precision: best };
        let beside = |others: Vec<System>| {
            std::iter::once(Request::Any(first.clone())).chain(others.into_iter().map(Request::Exact)).collect()
        };
        match &self.question {
            Question::Transforms(transformation) => {
                vec![Request::Any(first.clone()), Request::Any(transformation.apply(first))]
            }
            Question::EdgeOrder(seed) => {
                vec![Request::Together(vec![first.clone()]), Request::Shuffled(first.clone(), u64::from(*seed))]
            }
            Question::Batch => {
                let alone = self.systems.iter().map(|system| Request::Together(vec![system.clone()]));
                std::iter::once(Request::Together(self.systems.clone())).chain(alone).collect()
            }
            Question::OtherGraphs => {
                let pair = |other: &System| Request::Together(vec![first.clone(), other.clone()]);
                self.systems[1..].iter().map(pair).collect()
            }
            Question::Separation(offset) => {
                let second = Transformation::Translation(offset.clone()).apply(&self.systems[1]);
                let joined = first.joined(&second);
                [first.clone(), second, joined].map(Request::Any).into()
            }
            Question::CutoffValue | Question::CutoffSlope => {
                cutoff::places(first, description, &self.question).into_iter().map(Request::Any).collect()
            }
            Question::Conservative(direction) => beside(differences.moved(first, direction)),
            Question::Strain(strain) => beside(differences.strained(first, strain)),
            Question::ZeroSum | Question::ZeroTorque => vec![Request::Any(first.clone())],
        }
    }

    /// What the answers to [`Self::requests`] say about each output; `None` where an output is not
    /// concerned.
    pub(crate) fn compare(
        &self,
        description: &Description,
        best: Precision,
        answers: &[Vec<Outputs>],
    ) -> Vec<Option<Comparison>> {
        let first = &self.systems[0];
        let differences = Differences { description, precision: best };
        let single = |k: usize| &answers[k][0];
        let same = |found: &Outputs, expected: &Outputs| -> Vec<Option<Comparison>> {
            let pair = |(found, expected): (&Vec<f64>, &Vec<f64>)| {
                Some(Comparison { found: found.clone(), expected: expected.clone(), ..Default::default() })
            };
            found.iter().zip(expected).map(pair).collect()
        };
        let mut comparisons = match &self.question {
            Question::Transforms(transformation) => {
                same(single(1), &transformation.expected(description, first, single(0)))
            }
            Question::EdgeOrder(_) => same(single(1), single(0)),
            Question::Batch => {
                let alone: Vec<Outputs> = answers[1..].iter().map(|answer| answer[0].clone()).collect();
                same(&concatenated(&answers[0]), &concatenated(&alone))
            }
            Question::OtherGraphs => same(single(1), single(0)),
            Question::Separation(_) => additive(description, [single(0), single(1), single(2)]),
            Question::CutoffValue | Question::CutoffSlope => cutoff::compare(description, &self.question, answers),
            Question::Conservative(direction) => differences.forces(direction, answers),
            Question::Strain(strain) => differences.stress(first, strain, answers),
            Question::ZeroSum => conservation::sums(description, answers),
            Question::ZeroTorque => conservation::torques(description, first, answers),
        };
        if let Question::Transforms(transformation) = &self.question {
            // Points are compared relative to the middle of the system, so that a far translation
            // does not make any error small.
            let centroid = transformation.apply(first).centroid();
            for (output, comparison) in description.outputs.iter().zip(&mut comparisons) {
                if let (Kind::NodePoint, Some(comparison)) = (output.kind, comparison) {
                    for side in [&mut comparison.found, &mut comparison.expected] {
                        side.iter_mut().enumerate().for_each(|(k, value)| *value -= centroid[k % centroid.len()]);
                    }
                }
            }
        }
        comparisons
    }

    /// How many nodes the outputs belong to, for the scale of extensive ones.
    pub(crate) fn nodes(&self) -> usize {
        let copies = match &self.question {
            Question::Transforms(Transformation::Supercell(repeats)) => repeats.iter().product(),
            _ => 1,
        };
        copies * self.systems.iter().map(System::len).sum::<usize>()
    }
}

/// The outputs of several systems, one after the other.
fn concatenated(answers: &[Outputs]) -> Outputs {
    let count = answers.first().map_or(0, Vec::len);
    (0..count).map(|k| answers.iter().flat_map(|outputs| outputs[k].clone()).collect()).collect()
}

fn additive(description: &Description, [a, b, joined]: [&Outputs; 3]) -> Vec<Option<Comparison>> {
    let one = |(k, output): (usize, &crate::Output)| {
        let expected = match output.kind {
            kind if kind.per_node() => [a[k].as_slice(), &b[k]].concat(),
            _ if output.extensive => a[k].iter().zip(&b[k]).map(|(a, b)| a + b).collect(),
            _ => return None,
        };
        Some(Comparison { found: joined[k].clone(), expected, ..Default::default() })
    };
    description.outputs.iter().enumerate().map(one).collect()
}
