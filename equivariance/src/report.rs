//! What a battery found, as a value: rows, the worst of them, counterexamples.

mod baseline;
mod table;

use serde::{Deserialize, Serialize};

use crate::case::Case;
use crate::evaluation::Subject;
use crate::model::Model;
use crate::property::Skipped;
use crate::question::Question;
use crate::settings::Settings;
use crate::{Description, Precision};

pub use baseline::{BaselineError, Regression};

/// One property and one output. Errors are relative to the output's scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What was done to the inputs.
    pub transformation: String,
    /// Which output was looked at.
    pub output: String,
    /// Number of cases.
    pub cases: usize,
    /// How many of them failed.
    pub failures: usize,
    /// In how many of them rounding alone, or an extrapolation with steps fit for single precision, moves the output by more than
    /// [`Precision::limit`], while the model does what it should in double precision, and single precision differs from it by
    /// rounding. They pass, if they are not more than one in twenty.
    #[serde(default)]
    pub ill_conditioned: usize,
    /// Error of the worst case: the one with the largest error in units of its tolerance.
    #[serde(with = "infinite")]
    pub error: f64,
    /// Largest error.
    #[serde(with = "infinite")]
    pub maximum: f64,
    /// 99 % of the cases have a smaller error.
    #[serde(with = "infinite")]
    pub percentile_99: f64,
    /// Noise floor of the worst case.
    pub noise_floor: f64,
    /// What passes in the worst case.
    pub tolerance: f64,
    /// Whether all cases passed.
    pub passed: bool,
    /// Reproduces the worst case.
    pub seed: u32,
    /// A failing case, as small as could be found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counterexample: Option<Counterexample>,
}

/// A failing case.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Counterexample {
    /// The inputs and what was asked.
    pub case: Case,
    /// What the model returned on one side.
    #[serde(with = "infinite_list")]
    pub found: Vec<f64>,
    /// What it should have been.
    #[serde(with = "infinite_list")]
    pub expected: Vec<f64>,
    /// Why the model gave no answer, where it did not.
    pub message: Option<String>,
}

impl Counterexample {
    pub(crate) fn new<M: Model + ?Sized>(subject: &Subject<'_, M>, case: Case, output: usize) -> Self {
        let finding = subject.findings(std::slice::from_ref(&case)).remove(0);
        let (comparison, message) = match finding {
            Ok(mut comparisons) => (comparisons[output].take().unwrap_or_default(), None),
            Err(message) => (Default::default(), Some(message)),
        };
        Self { case, found: comparison.found, expected: comparison.expected, message }
    }
}

impl Row {
    /// The error of the worst case in units of its tolerance.
    fn ratio(&self) -> f64 {
        if self.error.is_finite() { self.error / self.tolerance } else { f64::INFINITY }
    }
}

/// The row with the largest error in units of its tolerance.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Worst {
    /// As in [`Row`].
    pub transformation: String,
    /// As in [`Row`].
    pub output: String,
    /// As in [`Row`].
    #[serde(with = "infinite")]
    pub error: f64,
    /// As in [`Row`].
    pub noise_floor: f64,
    /// As in [`Row`].
    pub tolerance: f64,
    /// As in [`Row`].
    pub seed: u32,
}

fn worst_of(rows: &[Row]) -> Option<Worst> {
    let worst = rows.iter().max_by(|a, b| a.ratio().total_cmp(&b.ratio()));
    worst.map(|row| Worst {
        transformation: row.transformation.clone(),
        output: row.output.clone(),
        error: row.error,
        noise_floor: row.noise_floor,
        tolerance: row.tolerance,
        seed: row.seed,
    })
}

/// What a battery found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Whether every row passed.
    pub passed: bool,
    /// The row closest to failing, or furthest beyond; none without rows.
    pub worst: Option<Worst>,
    /// A row per property and output.
    pub rows: Vec<Row>,
    /// What was not checked, and why.
    pub skipped: Vec<Skipped>,
    /// What makes the result say less than it seems to.
    pub warnings: Vec<String>,
    /// Seed of all cases.
    pub seed: u64,
    /// Cases per property.
    pub cases: usize,
    /// Arithmetic of the model.
    pub precision: Precision,
}

impl Report {
    pub(crate) fn new(
        rows: Vec<Row>,
        skipped: Vec<Skipped>,
        warnings: Vec<String>,
        settings: &Settings,
        description: &Description,
    ) -> Self {
        let worst = worst_of(&rows);
        Self {
            passed: rows.iter().all(|row| row.passed),
            worst,
            rows,
            skipped,
            warnings,
            seed: settings.seed,
            cases: settings.cases,
            precision: description.precision,
        }
    }

    /// What was found of this model and of another one that works beside it: of each row the one nearer to failing, or further
    /// beyond.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        let key = |row: &Row| (row.transformation.clone(), row.output.clone());
        let is_worse = |a: &Row, b: &Row| (!a.passed, a.ratio()) > (!b.passed, b.ratio());
        for row in other.rows {
            match self.rows.iter_mut().find(|own| key(own) == key(&row)) {
                Some(own) if is_worse(&row, own) => *own = row,
                Some(_) => {}
                None => self.rows.push(row),
            }
        }
        let skipped = other.skipped.into_iter().filter(|own| !self.skipped.contains(own)).collect::<Vec<_>>();
        let warnings = other.warnings.into_iter().filter(|own| !self.warnings.contains(own)).collect::<Vec<_>>();
        self.skipped.extend(skipped);
        self.warnings.extend(warnings);
        self.passed &= other.passed;
        self.worst = worst_of(&self.rows);
        self
    }

    /// The row of a property and an output.
    pub fn row(&self, transformation: &str, output: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.transformation == transformation && row.output == output)
    }

    /// As one JSON object. Infinite errors are written as `null`.
    pub fn to_json(&self) -> String {
        // Only maps with keys that are not strings can fail, and there are none.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Transforms(transformation) => transformation.fmt(f),
            Self::EdgeOrder(seed) => write!(f, "edges shuffled with seed {seed}"),
            Self::Batch => write!(f, "the systems in one batch and alone"),
            Self::OtherGraphs => write!(f, "the first system in a batch with the second, and with the third"),
            Self::Separation(offset) => {
                let offset: Vec<String> = offset.iter().map(|x| crate::transformation::short(*x)).collect();
                write!(f, "both systems, the second moved by ({})", offset.join(", "))
            }
            Self::CutoffValue => write!(f, "values just inside and outside the cutoff of the first two nodes"),
            Self::CutoffSlope => write!(f, "slopes just inside and outside the cutoff of the first two nodes"),
            Self::Conservative(_) => write!(f, "forces and the energy's numeric derivative along a direction"),
            Self::Strain(strain) => {
                let strain = table::matrix(strain);
                write!(f, "stress and the energy's numeric derivative over the volume, along the strain {strain}")
            }
            Self::ZeroSum => write!(f, "the net force: the sum over nodes"),
            Self::ZeroTorque => write!(f, "the net torque: the torque about the centroid"),
        }
    }
}

/// JSON has no infinity: `null` stands for it.
mod infinite {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        value.is_finite().then_some(*value).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Ok(Option::deserialize(deserializer)?.unwrap_or(f64::INFINITY))
    }
}

/// The same for lists.
mod infinite_list {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(values: &[f64], serializer: S) -> Result<S::Ok, S::Error> {
        let values: Vec<Option<f64>> = values.iter().map(|value| value.is_finite().then_some(*value)).collect();
        values.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<f64>, D::Error> {
        let values: Vec<Option<f64>> = Vec::deserialize(deserializer)?;
        Ok(values.into_iter().map(|value| value.unwrap_or(f64::NAN)).collect())
    }
}
