//! What is predicted, as data.

use serde::{Deserialize, Serialize};

/// What a target belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// One for each graph.
    Graph,
    /// One for each node.
    Node,
}

/// What a target is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A number that does not change when everything is turned.
    Scalar,
    /// A vector in space, which turns along.
    Vector,
    /// One of so many classes.
    Class(usize),
}

/// One thing that is predicted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Its name, as in `energy`; the entry of the flow that holds predictions of it.
    pub name: String,
    /// What it belongs to.
    pub level: Level,
    /// What it is.
    pub kind: Kind,
    /// Unit of its numbers, empty without one.
    pub unit: String,
    /// Whether it grows with the number of nodes, so that errors are counted per node.
    pub extensive: bool,
}

impl Target {
    /// Numbers of a prediction for each graph or node, in D dimensions.
    pub fn columns(&self, dims: usize) -> usize {
        match self.kind {
            Kind::Scalar => 1,
            Kind::Vector => dims,
            Kind::Class(classes) => classes,
        }
    }

    /// Numbers of a label for each graph or node, in D dimensions: of a class, its number.
    pub fn label_columns(&self, dims: usize) -> usize {
        match self.kind {
            Kind::Class(_) => 1,
            _ => self.columns(dims),
        }
    }
}
