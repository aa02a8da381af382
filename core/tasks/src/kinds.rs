//! The tasks that a config can name, a line each.

use isograd_models::Invalid;
use serde::{Deserialize, Serialize};

use crate::classes::Classes;
use crate::properties::{self, Property};
use crate::{Level, LossConfig, PotentialTask, Task};

/// The `[task]` section.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum TaskConfig {
    /// Energies and forces.
    Potential {},
    /// Any numbers and vectors of graphs or nodes, and numbers of edges.
    Properties {
        /// What they are.
        targets: Vec<Property>,
    },
    /// Classes of nodes.
    Nodes(Classes),
    /// Classes of whole graphs.
    Graphs(Classes),
    /// Classes of edges, of graphs that are given with their edges.
    Edges(Classes),
}

impl Default for TaskConfig {
    fn default() -> Self {
        Self::Potential {}
    }
}

impl TaskConfig {
    /// The task, with what the `[loss]` section says.
    ///
    /// # Errors
    /// The key of `[task]` and what was expected.
    pub fn task(&self, loss: &LossConfig) -> Result<Task, Invalid> {
        match self {
            Self::Potential {} => Ok(PotentialTask { loss: loss.clone() }.into()),
            Self::Properties { targets } => properties::task(targets, loss),
            Self::Nodes(classes) => classes.task(Level::Node),
            Self::Graphs(classes) => classes.task(Level::Graph),
            Self::Edges(classes) => classes.task(Level::Edge),
        }
    }
}

/// A task with the loss that it is trained by.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Objective {
    /// What is predicted.
    pub task: TaskConfig,
    /// How errors count.
    pub loss: LossConfig,
}

impl From<PotentialTask> for Objective {
    fn from(task: PotentialTask) -> Self {
        Self { task: TaskConfig::default(), loss: task.loss }
    }
}

impl From<TaskConfig> for Objective {
    fn from(task: TaskConfig) -> Self {
        Self { task, ..Self::default() }
    }
}

impl From<Vec<Property>> for Objective {
    fn from(targets: Vec<Property>) -> Self {
        TaskConfig::Properties { targets }.into()
    }
}
