//! Several models that answer together: their mean, and how far they are apart.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use isograd_models::Registry;
use isograd_ops::device::DeviceName;
use isograd_structure::{Element, Structure};
use isograd_tasks::{Kind, ModelInfo, Nodes, Offset, Spread, Target};
use isograd_train::run::{CommitteeSummary, RunDirectory};
use isograd_train::{Error, Result};

use crate::{Model, Values};

/// Models of one task, trained alike but for the seed, or otherwise, on a device.
#[derive(Debug)]
pub struct Committee {
    /// At least one.
    members: Vec<Model>,
    /// Where each lies.
    runs: Vec<PathBuf>,
    /// What was seen on held-out structures, of a committee that was trained as one.
    summary: Option<CommitteeSummary>,
}

/// What a committee says of one structure.
#[derive(Debug, Clone, PartialEq)]
pub struct CommitteeValues {
    /// The mean over the members, number by number.
    pub mean: Values,
    /// The standard deviation over the members, in the target's unit, one number for each row of a target, which is the
    /// structure or one of its atoms: the root of the mean variance of the row's components, with one less than the number of
    /// members as divisor. `None` of a single model.
    pub deviations: Option<Values>,
    /// Whether members are farther apart than on any structure that was held out in training. `None` where that is not known:
    /// of members that were not trained as one committee.
    pub is_beyond_validation: Option<bool>,
    /// What each member says.
    pub members: Vec<Values>,
}

impl Committee {
    /// Loads the models of run directories, of committees all members, or of weights files, to a device.
    ///
    /// # Errors
    /// [`Error::Run`] where a path holds no model, a member of a committee is not trained yet, or models do not fit together:
    /// they must have the same targets, none of which is a class, elements and sources. [`Error::Device`] where the device is
    /// not there.
    pub fn load(runs: &[impl AsRef<Path>], device: DeviceName) -> Result<Self> {
        Self::load_with(&Registry::default(), runs, device)
    }

    /// As [`Committee::load`], with architectures of a registry.
    ///
    /// # Errors
    /// As [`Committee::load`].
    pub fn load_with(registry: &Registry, runs: &[impl AsRef<Path>], device: DeviceName) -> Result<Self> {
        let mut found = Self { members: Vec::new(), runs: Vec::new(), summary: None };
        for run in runs {
            let run: &Path = run.as_ref();
            if !run.is_dir() {
                found.add(run, Model::load_with(registry, run, device.clone())?)?;
                continue;
            }
            let directory = RunDirectory::open(run)?;
            for member in directory.members()? {
                found.add(member.root(), Model::load_with(registry, member.trained()?, device.clone())?)?;
            }
            if runs.len() == 1 {
                found.summary = CommitteeSummary::load(&directory)?;
            }
        }
        match found.members.is_empty() {
            true => Err(Error::Structure("a committee has no members: expected at least one run".into())),
            false => Ok(found),
        }
    }

    fn add(&mut self, run: &Path, model: Model) -> Result<()> {
        if let (Some(first), Some(path)) = (self.members.first(), self.runs.first()) {
            if let Some(target) = first.info().task.targets.iter().find(|own| matches!(own.kind, Kind::Class(_))) {
                let message = format!("predicts classes ({}), of which committees have no mean", target.name);
                return Err(Error::run(path, message));
            }
            if let Some((what, first, own)) = difference(first.info(), model.info()) {
                let message = format!(
                    "cannot be in a committee with {}, which has other {what}: {first}; here they are {own}",
                    path.display()
                );
                return Err(Error::run(run, message));
            }
        }
        self.members.push(model);
        self.runs.push(run.to_owned());
        Ok(())
    }

    /// The same committee, that predicts as the data source of this name has labels; see [`Model::of_source`].
    ///
    /// # Errors
    /// [`Error::Structure`] if there is none of that name.
    pub fn of_source(self, name: &str) -> Result<Self> {
        let members = self.members.into_iter().map(|member| member.of_source(name)).collect::<Result<_>>()?;
        Ok(Self { members, ..self })
    }

    /// The members, in order: at least one.
    pub fn members(&self) -> &[Model] {
        &self.members
    }

    /// The first member, whose sources, targets and elements are those of all.
    pub fn first(&self) -> &Model {
        &self.members[0]
    }

    /// Where each member lies.
    pub fn runs(&self) -> &[PathBuf] {
        &self.runs
    }

    /// What was seen on held-out structures, of a committee that was trained as one.
    pub fn summary(&self) -> Option<&CommitteeSummary> {
        self.summary.as_ref()
    }

    /// Predicts many structures, in their order, in batches. Their labels are not read.
    ///
    /// # Errors
    /// As [`Model::predict`].
    pub fn predict(&self, structures: &[Structure]) -> Result<Vec<CommitteeValues>> {
        let said = self.members.iter().map(|member| member.predict(structures)).collect::<Result<Vec<_>>>()?;
        let mut said: Vec<_> = said.into_iter().map(Vec::into_iter).collect();
        let of_one = |structure: &Structure| {
            let members: Vec<Values> = said.iter_mut().filter_map(Iterator::next).collect();
            self.together(structure.len(), members)
        };
        Ok(structures.iter().map(of_one).collect())
    }

    /// What members say of a structure, as one.
    fn together(&self, atoms: usize, members: Vec<Values>) -> CommitteeValues {
        let first = members[0].clone();
        if members.len() == 1 {
            return CommitteeValues { mean: first, deviations: None, is_beyond_validation: None, members };
        }
        let info = self.first().info();
        let spread = |(place, target): (usize, &Target)| {
            let said: Vec<&[f64]> = members.iter().map(|own| own.numbers[place].as_slice()).collect();
            let Spread { mean, deviations } = Spread::of(&said, target.columns(3));
            (mean, deviations)
        };
        let (mean, deviations): (Vec<_>, Vec<_>) = info.task.targets.iter().enumerate().map(spread).unzip();
        let own = || info.task.targets.iter().zip(deviations.iter().map(Vec::as_slice));
        let is_beyond_validation = self.summary.as_ref().and_then(|summary| summary.is_exceeded_by(own(), atoms));
        CommitteeValues {
            mean: Values { numbers: mean, ..first.clone() },
            deviations: Some(Values { numbers: deviations, ..first }),
            is_beyond_validation,
            members,
        }
    }
}

/// In what models differ that cannot answer together, and what each has.
fn difference(first: &ModelInfo, other: &ModelInfo) -> Option<(&'static str, String, String)> {
    type Describe = fn(&ModelInfo) -> String;
    let aspects: [(&str, Describe); 4] =
        [("tasks", |info| info.task.kind.clone()), ("targets", targets), ("elements", elements), ("sources", sources)];
    aspects.into_iter().find_map(|(what, describe)| {
        let (first, other) = (describe(first), describe(other));
        (first != other).then_some((what, first, other))
    })
}

fn targets(info: &ModelInfo) -> String {
    let target = |own: &Target| {
        let extensive = if own.extensive { ", extensive" } else { "" };
        format!("{} ({:?} of {:?}, in {:?}{extensive})", own.name, own.kind, own.level, own.unit).to_lowercase()
    };
    info.task.targets.iter().map(target).collect::<Vec<_>>().join(", ")
}

fn elements(info: &ModelInfo) -> String {
    match &info.model.nodes {
        Nodes::Elements(elements) => symbols(elements.iter().copied()),
        Nodes::Kinds { count, dims } => format!("{count} kinds of nodes in {dims} dimensions"),
    }
}

fn symbols(elements: impl Iterator<Item = Element>) -> String {
    let sorted: BTreeSet<Element> = elements.collect();
    sorted.into_iter().map(Element::symbol).collect::<Vec<_>>().join(" ")
}

/// Names, keys, units, and the elements that have reference energies.
fn sources(info: &ModelInfo) -> String {
    let source = |own: &isograd_tasks::SourceInfo| {
        let references = own.offsets.iter().filter_map(|offset| match offset {
            Offset::Elements(references) => Some(symbols(references.0.keys().copied())),
            Offset::None | Offset::Constant(_) => None,
        });
        let references = references.collect::<Vec<_>>().join("; ");
        let described = serde_json::json!({ "keys": own.keys, "units": own.units });
        format!("{} {described}, references of {references}", own.name)
    };
    info.sources.iter().map(source).collect::<Vec<_>>().join(", ")
}
