//! Properties: any numbers and vectors of graphs or nodes, several at once.

use isograd_models::Invalid;
use serde::{Deserialize, Serialize};

use crate::{Kind, Label, Level, LossConfig, Target, Task};

/// Whether a property is a number or a vector in space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// A number that does not change when everything is turned.
    #[default]
    Scalar,
    /// A vector, which turns along.
    Vector,
}

/// One entry of `[[task.targets]]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Property {
    /// Its name in tables and in files of predictions.
    pub name: String,
    /// Where its labels stand: a comment key, or of nodes a column. Default: its name.
    #[serde(default)]
    pub key: Option<String>,
    /// `graph`, `node` or `edge`. Default `graph`.
    #[serde(default)]
    pub level: Level,
    /// `scalar` or `vector`. Default `scalar`.
    #[serde(default)]
    pub shape: Shape,
    /// Unit in tables; numbers stay in it. Default: none.
    #[serde(default)]
    pub unit: String,
    /// Whether it grows with the number of atoms: what atoms of each element contribute is then fitted and taken off, and
    /// errors are counted per atom. Default false.
    #[serde(default)]
    pub extensive: bool,
    /// What its mean error is multiplied by in the loss. Default 1.
    #[serde(default = "one")]
    pub weight: f64,
    /// Whether errors count in standard deviations of the training labels. Default true.
    #[serde(default = "yes")]
    pub normalise: bool,
}

fn one() -> f64 {
    1.0
}

fn yes() -> bool {
    true
}

impl Property {
    /// A scalar of each graph, of which there are labels under its name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            key: None,
            level: Level::Graph,
            shape: Shape::Scalar,
            unit: String::new(),
            extensive: false,
            weight: 1.0,
            normalise: true,
        }
    }

    fn target(&self) -> Target {
        let kind = match self.shape {
            Shape::Scalar => Kind::Scalar,
            Shape::Vector => Kind::Vector,
        };
        Target {
            label: Label::Column(self.key.clone().unwrap_or_else(|| self.name.clone())),
            unit: self.unit.clone(),
            extensive: self.extensive,
            weight: self.weight,
            normalised: self.normalise,
            ..Target::new(&self.name, self.level, kind)
        }
    }
}

/// The task of some properties.
///
/// # Errors
/// The key of `[task]` and what was expected.
pub(crate) fn task(properties: &[Property], loss: &LossConfig) -> Result<Task, Invalid> {
    if properties.is_empty() {
        return Err(Invalid::new("targets", "is empty, expected a [[task.targets]] for each property"));
    }
    for (place, property) in properties.iter().enumerate() {
        let wrong = |message: String| Err(Invalid::new("targets", format!("`{}` {message}", property.name)));
        if property.name.is_empty() || properties[..place].iter().any(|other| other.name == property.name) {
            return wrong("is empty or named twice".into());
        }
        if !(property.weight.is_finite() && property.weight >= 0.0) {
            return wrong(format!("has the weight {}, expected 0 or above", property.weight));
        }
        if property.extensive && property.level != Level::Graph {
            return wrong("is not of whole graphs, which alone grow; leave `extensive` out".into());
        }
        if property.shape == Shape::Vector && property.level == Level::Edge {
            return wrong("is a vector of edges, expected one of nodes or graphs".into());
        }
    }
    let vectors = properties.iter().filter(|property| property.shape == Shape::Vector).count();
    if vectors > 1 {
        return Err(Invalid::new("targets", format!("has {vectors} vectors, expected one at most")));
    }
    let targets = properties.iter().map(Property::target).collect();
    Ok(Task { kind: "properties".into(), targets, loss: loss.kind, huber_delta: loss.huber_delta })
}
