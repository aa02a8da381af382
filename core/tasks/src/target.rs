//! What is predicted, as data.

use isograd_data::Sizes;
use serde::{Deserialize, Serialize};

/// What a target belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// One for each graph.
    #[default]
    Graph,
    /// One for each node.
    Node,
    /// One for each edge, from its sender to its receiver, in the order in which a graph is given its edges.
    Edge,
}

/// What a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A number that does not change when everything is turned.
    #[default]
    Scalar,
    /// A vector in space, which turns along.
    Vector,
    /// A symmetric tensor of rank two, D rows one after the other.
    Tensor,
    /// One of so many classes, which are numbered from 0.
    Class(usize),
}

/// Where the labels of a target stand in a structure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Label {
    /// The energy.
    Energy,
    /// The forces.
    Forces,
    /// The stress.
    Stress,
    /// A column of this name.
    Column(String),
}

/// One thing that is predicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Its name, as in `energy`; the entry of the flow that holds predictions of it.
    pub name: String,
    /// Where its labels stand.
    pub label: Label,
    /// What it belongs to.
    pub level: Level,
    /// What it is.
    pub kind: Kind,
    /// Unit of its numbers, empty without one.
    pub unit: String,
    /// Whether it grows with the number of nodes, so that errors are counted per node.
    pub extensive: bool,
    /// What its mean error is multiplied by in the loss.
    pub weight: f64,
    /// What outputs are multiplied by, in its unit, so that the last layers work with numbers near one.
    pub scale: f64,
    /// Whether errors count in units of the scale, rather than in its own unit.
    pub normalised: bool,
}

impl Target {
    /// A target of weight one and scale one, whose labels stand in a column of its name.
    pub fn new(name: impl Into<String>, level: Level, kind: Kind) -> Self {
        let name = name.into();
        Self {
            label: Label::Column(name.clone()),
            name,
            level,
            kind,
            unit: String::new(),
            extensive: false,
            weight: 1.0,
            scale: 1.0,
            normalised: false,
        }
    }

    /// Numbers of a prediction for each graph, node or edge, in D dimensions.
    pub fn columns(&self, dims: usize) -> usize {
        match self.kind {
            Kind::Scalar => 1,
            Kind::Vector => dims,
            Kind::Tensor => dims * dims,
            Kind::Class(classes) => classes,
        }
    }

    /// Numbers of a label for each graph, node or edge, in D dimensions: of a class, its number.
    pub fn label_columns(&self, dims: usize) -> usize {
        match self.kind {
            Kind::Class(_) => 1,
            _ => self.columns(dims),
        }
    }

    /// How many graphs, nodes or edges there are of it in a graph.
    pub fn rows(&self, sizes: Sizes) -> usize {
        match self.level {
            Level::Graph => 1,
            Level::Node => sizes.atoms,
            Level::Edge => sizes.edges,
        }
    }

    /// What an error of one unit counts in the loss and in scores.
    pub(crate) fn share(&self) -> f64 {
        if self.normalised { 1.0 / self.scale } else { 1.0 }
    }
}
