//! Classification of nodes or of whole graphs.

use isograd_models::Invalid;
use serde::{Deserialize, Serialize};

use crate::{Kind, Label, Level, Target, Task};

/// The keys of `[task]` beside `kind = "nodes"`, `"graphs"` or `"edges"`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Classes {
    /// Where labels stand, which are numbers from 0: a comment key, or of nodes a column. Default `class`.
    #[serde(default = "class")]
    pub key: String,
    /// Number of classes.
    pub classes: usize,
}

fn class() -> String {
    "class".into()
}

impl Classes {
    /// The task of telling them apart, by cross entropy.
    ///
    /// # Errors
    /// The key of `[task]` and what was expected.
    pub(crate) fn task(&self, level: Level) -> Result<Task, Invalid> {
        Invalid::unless_within("classes", self.classes, 2, 100_000)?;
        let target = Target {
            label: Label::Column(self.key.clone()),
            ..Target::new(&self.key, level, Kind::Class(self.classes))
        };
        let kind = match level {
            Level::Node => "nodes",
            Level::Graph => "graphs",
            Level::Edge => "edges",
        };
        Ok(Task::new(kind, vec![target]))
    }
}
