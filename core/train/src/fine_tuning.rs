//! Training that begins with the weights of another model (fine-tuning): what is taken of it, what begins anew, and what is left.

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};

use isograd_data::References;
use isograd_engine::zero::Sharded;
use isograd_engine::{Fragment, Spec};
use isograd_ops::kernels::KernelBackend;
use isograd_structure::Element;
use isograd_tasks::{Model, ModelInfo, Nodes, Offset, SourceInfo, Target, Task};
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::config::{Config, freeze};
use crate::tensor_file::{TensorFile, weights_file};
use crate::{Error, Result};

/// The model that training starts from, without its weights.
pub(crate) struct StartingModel {
    file: PathBuf,
    info: ModelInfo,
}

/// Where the first values of a parameter are from.
enum First {
    /// From a tensor of this name, of the same shape.
    Tensor(String),
    /// From a tensor of this name, which has fewer rows, one for each kind of node; rows of new kinds begin anew.
    Rows(String, Vec<usize>),
    /// As they are declared.
    Declared,
}

/// The weights that training begins with.
pub struct StartingWeights {
    file: PathBuf,
    /// By parameter.
    first: Vec<First>,
    /// What the file says of its model, which scales, elements and reference energies were taken from.
    description: String,
    /// What was taken, what is new, and what was left.
    pub report: StartReport,
}

/// What was made of the model that training started from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartReport {
    /// Its file of weights.
    pub from: PathBuf,
    /// Numbers that were taken from it.
    pub taken: usize,
    /// Numbers of the model that begin anew.
    pub new: usize,
    /// Numbers that stay as they begin.
    pub frozen: usize,
    /// Which parts have numbers that begin anew: `heads.1`, or `embedding (N, O)` where only rows of these elements do.
    pub new_parts: Vec<String>,
    /// Parts of it that the model does not have.
    pub left: Vec<String>,
    /// Settings in which both differ, though their weights fit.
    pub differs: Vec<String>,
}

impl StartingModel {
    /// The one that a config names, if any.
    ///
    /// # Errors
    /// Where there is none at that place, or it is of another kind.
    pub(crate) fn of(config: &Config) -> Result<Option<Self>> {
        let Some(path) = &config.train.start_from else { return Ok(None) };
        let file = weights_file(path)?;
        let info = TensorFile::open(&file)?.describe()?;
        if info.model.kind != config.model.kind {
            let (own, there) = (&config.model.kind, &info.model.kind);
            return Err(wrong(format!(
                "{} is of kind `{there}`, and model.kind is `{own}`; leave [model] out to train the same network",
                file.display()
            )));
        }
        Ok(Some(Self { file, info }))
    }

    /// Elements that it knows, in its order.
    pub(crate) fn elements(&self) -> &[Element] {
        match &self.info.model.nodes {
            Nodes::Elements(elements) => elements,
            Nodes::Kinds { .. } => &[],
        }
    }

    /// Its source that stands for one of a new config: of the same name, or the only one.
    fn source(&self, name: &str) -> Option<&SourceInfo> {
        let sources = &self.info.sources;
        sources.iter().find(|own| own.name == name).or_else(|| sources.first().filter(|_| sources.len() == 1))
    }

    /// What is known of a target of a source without the model; `None` of what it does not know.
    pub(crate) fn offset(&self, source: &str, target: &Target) -> Option<&Offset> {
        let place = self.info.task.targets.iter().position(|own| own.name == target.name)?;
        let offset = self.source(source)?.offsets.get(place)?;
        let is_known = !matches!(offset, Offset::Elements(References(known)) if known.is_empty());
        Some(offset).filter(|_| is_known)
    }

    /// The task with the scales of its outputs, which its weights belong to.
    pub(crate) fn scaled(&self, mut task: Task) -> Task {
        for target in &mut task.targets {
            if let Some(own) = self.info.task.targets.iter().find(|own| own.name == target.name) {
                target.scale = own.scale;
            }
        }
        task
    }

    /// Its head that a head of a model begins as: that of the sources which that one predicts, or the only one.
    fn head(&self, head: usize, info: &ModelInfo) -> Option<usize> {
        let predicted = |name: &str| info.sources.iter().any(|own| own.head == head && own.name == name);
        let sources = self.info.sources.iter().filter(|own| predicted(&own.name));
        let heads: BTreeSet<usize> = sources.map(|own| own.head).collect();
        match (heads.first(), heads.len(), self.info.model.heads) {
            (Some(&head), 1, _) => Some(head),
            (None, _, 1) => Some(0),
            _ => None,
        }
    }

    /// The name that its file has for a parameter of a model.
    fn name_of(&self, path: &str, info: &ModelInfo) -> Option<String> {
        let Some((head, rest)) = path.strip_prefix("heads.").and_then(|rest| rest.split_once('.')) else {
            return Some(path.to_owned());
        };
        let head = self.head(head.parse().ok()?, info)?;
        Some(format!("heads.{head}.{rest}"))
    }

    /// The weights that a model begins with.
    ///
    /// # Errors
    /// [`Error::Config`] where shapes are others, so that it is another network.
    pub(crate) fn weights(self, model: &Model, info: &ModelInfo, config: &Config) -> Result<StartingWeights> {
        let file = TensorFile::open(&self.file)?;
        let (old, new) = (kinds(&self.info), kinds(info));
        let layout = model.layout(1);
        let mut report = StartReport { from: self.file.clone(), differs: self.differences(info), ..Default::default() };
        let mut used = BTreeSet::new();
        let (mut first, mut parts) = (Vec::new(), Vec::new());
        for spec in layout.parameters() {
            let found = self.name_of(&spec.path, info).and_then(|name| Some((file.shape(&name)?.to_vec(), name)));
            let own = match found {
                None => First::Declared,
                Some((shape, name)) if shape == spec.shape => First::Tensor(name),
                Some((shape, name)) if has_fewer_rows(&shape, old, &spec.shape, new) => First::Rows(name, shape),
                Some((shape, name)) => {
                    return Err(wrong(format!(
                        "`{name}` is {shape:?} in {}, and {:?} in the model of this config: they are different networks; \
                         leave [model] out to train the same one",
                        self.file.display(),
                        spec.shape
                    )));
                }
            };
            let part = freeze::part_of(&spec.path);
            let taken = match &own {
                First::Declared => {
                    parts.push(part);
                    0
                }
                First::Tensor(name) => {
                    used.insert(name.clone());
                    spec.size()
                }
                First::Rows(name, shape) => {
                    used.insert(name.clone());
                    parts.push(format!("{part} ({})", added(&self.info, info)));
                    shape.iter().product()
                }
            };
            report.taken += taken;
            report.new += spec.size() - taken;
            first.push(own);
        }
        let unique = |parts: Vec<String>| parts.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        report.new_parts = unique(parts);
        let left = file.names().into_iter().filter(|name| !used.contains(name));
        report.left = unique(left.map(|name| freeze::part_of(&name)).collect());
        let frozen = layout.parameters().iter().filter(|spec| config.train.is_frozen(&spec.path));
        report.frozen = frozen.map(Spec::size).sum();
        let description = serde_json::to_string(&self.info).map_err(|error| Error::Internal(error.to_string()))?;
        Ok(StartingWeights { file: self.file, first, description, report })
    }

    /// Settings of the network that are not the same, as `cutoff was 5.0, is 6.0`.
    fn differences(&self, info: &ModelInfo) -> Vec<String> {
        let (old, new) = (&self.info.model, &info.model);
        let mut found = Vec::new();
        if let (Json::Object(before), Json::Object(now)) = (&old.options, &new.options) {
            let keys: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
            let changed = keys.into_iter().filter(|key| before.get(*key) != now.get(*key));
            let shown = |value: Option<&Json>| value.map_or("not set".to_owned(), Json::to_string);
            found
                .extend(changed.map(|key| format!("{key} was {}, is {}", shown(before.get(key)), shown(now.get(key)))));
        }
        if old.forces != new.forces {
            found.push(format!("forces were {:?}, are {:?}", old.forces, new.forces).to_lowercase());
        }
        found
    }
}

impl StartingWeights {
    /// What its scales, elements and reference energies were taken from.
    pub(crate) fn description(&self) -> &str {
        &self.description
    }

    /// Puts the weights into a model that has made no step. `seed` is that of what begins anew.
    ///
    /// # Errors
    /// Where the file cannot be read.
    pub(crate) fn put_into<B: KernelBackend>(&self, sharded: &mut Sharded<B>, seed: u64) -> Result<()> {
        let mut file = TensorFile::open(&self.file)?;
        let specs = sharded.layout().parameters().to_vec();
        sharded.begin_with(|Fragment { parameter, range }| {
            let spec = &specs[*parameter];
            match &self.first[*parameter] {
                First::Declared => Ok(spec.initial(seed, range.clone())),
                First::Tensor(name) => file.read(name, &spec.shape, range.clone()),
                First::Rows(name, shape) => {
                    let known = range.start..range.end.min(shape.iter().product::<usize>().max(range.start));
                    let anew = known.end..range.end;
                    let mut values = file.read(name, shape, known)?;
                    values.extend(spec.initial(seed, anew));
                    Ok(values)
                }
            }
        })
    }
}

/// What a person wants to know of it, a line each.
impl fmt::Display for StartReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { from, taken, new, frozen, new_parts, left, differs } = self;
        write!(f, "starting from {}: {taken} of {} weights are taken", shown(from), taken + new)?;
        let lines = [("new", new_parts), ("left", left), ("settings that differ", differs)];
        for (what, parts) in lines.iter().filter(|(_, parts)| !parts.is_empty()) {
            write!(f, "\n  {what}: {}", parts.join(", "))?;
        }
        if *frozen > 0 {
            write!(f, "\n  frozen: {frozen} weights")?;
        }
        Ok(())
    }
}

/// The run directory of a file of weights in its usual place, or the file.
fn shown(file: &Path) -> std::path::Display<'_> {
    let run = file.parent().and_then(Path::parent).filter(|_| file.ends_with("best/model.safetensors"));
    run.unwrap_or(file).display()
}

fn wrong(message: String) -> Error {
    Error::Config { place: "train.start_from".into(), message }
}

/// How many kinds of nodes a model tells apart.
fn kinds(info: &ModelInfo) -> usize {
    match &info.model.nodes {
        Nodes::Elements(elements) => elements.len(),
        Nodes::Kinds { count, .. } => *count,
    }
}

/// Whether a tensor of shape `old` has a row for each of `before` kinds of nodes, where a parameter has one for each of `now`.
fn has_fewer_rows(old: &[usize], before: usize, new: &[usize], now: usize) -> bool {
    now > before && old.first() == Some(&before) && new.first() == Some(&now) && old[1..] == new[1..]
}

/// The kinds of nodes that are new.
fn added(old: &ModelInfo, new: &ModelInfo) -> String {
    match &new.model.nodes {
        Nodes::Elements(elements) => {
            let added = elements[kinds(old)..].iter().map(|element| element.symbol());
            added.collect::<Vec<_>>().join(", ")
        }
        Nodes::Kinds { count, .. } => format!("{} kinds", count - kinds(old)),
    }
}
