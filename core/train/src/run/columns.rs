//! The numbers of a log line by name, for formats that want to know all names before the first line.

use isograd_tasks::{BySource, Metric, Metrics};
use serde_json::{Number, Value as Json};

use super::LogLine;
use crate::{Error, Result};

/// The names of all numbers that lines of a run may have.
///
/// They are those of the keys of a line's JSON, from the outermost in: `["loss"]`, `["validation", "force_cosine"]`. A key has
/// its unit in it.
#[derive(Debug, Clone)]
pub struct Columns(Vec<Vec<String>>);

impl Columns {
    /// The names of a run: what validations measure, by the names of sources where there are several, and of the raw weights
    /// as well where weights are `averaged`.
    ///
    /// # Errors
    /// [`Error::Internal`]: every line can be written.
    pub fn of(metrics: &[Metric], sources: &[String], averaged: bool) -> Result<Self> {
        let metrics: Metrics = metrics.iter().map(|metric| (metric.key.clone(), None)).collect();
        let by_source = sources.iter().filter(|_| sources.len() > 1).map(|name| (name.clone(), metrics.clone()));
        let all = LogLine {
            step: 0,
            epoch: 0.0,
            seconds: 0.0,
            loss: 0.0,
            learning_rate: 0.0,
            gradient_norm: 0.0,
            edges_per_second: 0.0,
            atoms_per_second: 0.0,
            peak_bytes: None,
            validation: Some(metrics.clone()),
            validation_by_source: BySource(by_source.collect()),
            validation_raw: averaged.then_some(metrics),
        };
        Ok(Self(numbers(&all)?.into_iter().map(|(name, _)| name).collect()))
    }

    pub(super) fn names(&self) -> &[Vec<String>] {
        &self.0
    }
}

/// The numbers of a line by their names; `None` where it has a name and no number.
pub(super) fn numbers(line: &LogLine) -> Result<Vec<(Vec<String>, Option<Number>)>> {
    let json = serde_json::to_value(line).map_err(|error| Error::Internal(error.to_string()))?;
    let mut found = Vec::new();
    flatten(Vec::new(), json, &mut found);
    Ok(found)
}

fn flatten(name: Vec<String>, value: Json, into: &mut Vec<(Vec<String>, Option<Number>)>) {
    match value {
        Json::Object(entries) => {
            for (key, value) in entries {
                flatten([name.as_slice(), &[key]].concat(), value, into);
            }
        }
        Json::Number(number) => into.push((name, Some(number))),
        _ => into.push((name, None)),
    }
}
