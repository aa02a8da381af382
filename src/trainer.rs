//! Training from Rust: a model, data, a device by name.

use std::path::PathBuf;
use std::sync::Arc;

use isograd_data::{Keys, SplitBy};
use isograd_models::{AnyArchitecture, Architecture, Registry};
use isograd_ops::device::DeviceName;
use isograd_structure::Units;
use isograd_tasks::Objective;
use isograd_train::config::{Config, DataConfig, ModelConfig, ParallelConfig, RunConfig, SourceConfig, TrainConfig};
use isograd_train::run::{Best, RunDirectory, Summary};
use isograd_train::{Error, Event, Outcome, Prepared, Result, prepare_graphs, prepare_structures, train_threads};
use serde_json::Value as Json;

use crate::{Committee, Graphs, Model, Potential, SplitData};

/// What is told of events.
type OnEvent = Box<dyn FnMut(Event<'_>) + Send>;

/// Trains a potential, or a model of anything else. Everything that a config file can say is in [`Trainer::config`].
pub struct Trainer {
    config: Config,
    registry: Registry,
    on_event: Option<OnEvent>,
    out: Option<PathBuf>,
}

impl Trainer {
    /// A trainer of an architecture with the defaults of the config file. The task is a
    /// [`PotentialTask`](isograd_tasks::PotentialTask), a list of [properties](isograd_tasks::Property), or what a config
    /// file can name.
    pub fn new<A: Architecture>(architecture: A, task: impl Into<Objective>) -> Self {
        let Objective { task, loss } = task.into();
        let options = match architecture.options() {
            Json::Object(options) => options,
            _ => Default::default(),
        };
        let source = SourceConfig {
            name: "data".into(),
            files: Vec::new(),
            validation_files: Vec::new(),
            keys: Keys::default(),
            units: Units::default(),
            references: None,
            frame_weights: Default::default(),
            weight: 1.0,
            loss_weight: 1.0,
        };
        let config = Config {
            preset: None,
            data: DataConfig { sources: vec![source], split_by: SplitBy::Frame, ..DataConfig::default() },
            model: ModelConfig { kind: A::KIND.into(), options, ..ModelConfig::default() },
            task,
            loss,
            train: TrainConfig::default(),
            parallel: ParallelConfig::default(),
            run: RunConfig::default(),
        };
        Self { config, registry: Registry::default().with::<A>(), on_event: None, out: None }
    }

    /// Passes over the training data. Default 100.
    #[must_use]
    pub fn epochs(self, epochs: usize) -> Self {
        self.config(|config| config.train.epochs = Some(epochs))
    }

    /// How many ranks share the work, each a thread with a device of its own. Default 1.
    #[must_use]
    pub fn ranks(self, ranks: usize) -> Self {
        self.config(|config| config.parallel.ranks = ranks)
    }

    /// Where to train. Default the CPU.
    #[must_use]
    pub fn device(self, device: DeviceName) -> Self {
        self.config(|config| config.train.device = device)
    }

    /// Who is told how training goes. Default nobody.
    #[must_use]
    pub fn on_event(self, observer: impl FnMut(Event<'_>) + Send + 'static) -> Self {
        Self { on_event: Some(Box::new(observer)), ..self }
    }

    /// A run directory to be made and kept, as `isograd train` makes it. Default none.
    #[must_use]
    pub fn out(self, out: impl Into<PathBuf>) -> Self {
        Self { out: Some(out.into()), ..self }
    }

    /// Changes any value of the config.
    #[must_use]
    pub fn config(mut self, change: impl FnOnce(&mut Config)) -> Self {
        change(&mut self.config);
        self
    }

    /// Trains on structures.
    ///
    /// # Errors
    /// [`Error::Config`] for a value out of range, [`Error::Source`] for structures that are not fit for training,
    /// [`Error::Run`] for a run directory that is taken, [`Error::Diverged`] if the loss becomes NaN.
    pub fn fit(self, data: &SplitData) -> Result<Fitted> {
        self.fit_on(&|config, registry| structures_of(data, config, registry))
    }

    /// Trains `seeds` models on structures, one after the other, that differ in their seed alone.
    ///
    /// # Errors
    /// As [`Trainer::fit`], and [`Error::Config`] where there is no seed, or the task has classes, which have no mean.
    pub fn fit_committee(self, data: &SplitData, seeds: usize) -> Result<Committee> {
        let trainer = self.config(|config| config.train.seeds = seeds);
        trainer.run_on(&|config, registry| structures_of(data, config, registry), |outcome, registry, device| {
            let run = match &outcome {
                Outcome::Finished(finished) => &finished.run,
                Outcome::Committee(committee) => &committee.run,
                Outcome::Stopped { .. } => return Err(stopped()),
            };
            Committee::load_with(registry, &[run.root()], device)
        })
    }

    /// Trains on graphs.
    ///
    /// # Errors
    /// As [`Trainer::fit`], and [`Error::Structure`] where labels do not fit the task.
    pub fn fit_graphs(self, graphs: &Graphs) -> Result<Fitted> {
        self.fit_on(&|config, registry| {
            let Graphs { kinds, training, validation } = graphs.clone();
            prepare_graphs(config, registry, kinds, training, validation)
        })
    }

    fn fit_on(self, prepare: &Prepare<'_>) -> Result<Fitted> {
        if self.config.train.seeds > 1 {
            let message = format!("is {}: several models, which `fit_committee` trains", self.config.train.seeds);
            return Err(Error::Config { place: "train.seeds".into(), message });
        }
        self.run_on(prepare, |outcome, registry, device| {
            let Outcome::Finished(finished) = outcome else { return Err(stopped()) };
            let model = Model::load_with(registry, finished.run.root(), device)?;
            Ok(Fitted { summary: finished.summary, made: Made::of(model) })
        })
    }

    /// Trains, and hands what became of it to `load`, while its run directory is there.
    fn run_on<T>(
        self,
        prepare: &Prepare<'_>,
        load: impl FnOnce(Outcome, &Registry, DeviceName) -> Result<T>,
    ) -> Result<T> {
        let Self { mut config, registry, on_event, out } = self;
        config.complete(&registry)?;
        // Training keeps snapshots and the best weights in a run directory; nobody needs to see it.
        let hidden = match &out {
            Some(_) => None,
            None => Some(tempfile::tempdir().map_err(Error::io(std::env::temp_dir(), "make a folder in"))?),
        };
        config.run.out = match (out, &hidden) {
            (Some(out), _) => out,
            (None, Some(hidden)) => hidden.path().join("run"),
            (None, None) => return Err(Error::Internal("there is no run directory".into())),
        };
        RunDirectory::check_free(&config.run.out)?;
        let mut on_event = on_event.unwrap_or_else(|| Box::new(|_| ()));
        let outcome = train_threads(&config, &registry, false, &Arc::default(), &mut on_event, || {
            prepare(&config, &registry).map(Arc::new)
        })?;
        load(outcome, &registry, config.train.device.of_rank(0))
    }
}

fn structures_of(data: &SplitData, config: &Config, registry: &Registry) -> Result<Prepared> {
    let [training, validation] = [data.training(), data.validation()].map(<[_]>::to_vec);
    prepare_structures(config, registry, training, validation)
}

fn stopped() -> Error {
    Error::Internal("training was stopped by nobody".into())
}

/// What makes the data ready.
type Prepare<'a> = dyn Fn(&Config, &Registry) -> Result<Prepared> + 'a;

/// What training has made.
#[derive(Debug)]
pub struct Fitted {
    summary: Summary,
    made: Made,
}

/// A model, which may be a potential.
#[derive(Debug)]
enum Made {
    Potential(Potential),
    Other(Model),
}

impl Made {
    fn of(model: Model) -> Self {
        if Potential::check(&model).is_ok() { Self::Potential(Potential::new(model)) } else { Self::Other(model) }
    }
}

impl Fitted {
    /// The errors of the best weights on the structures held out.
    pub fn best(&self) -> &Best {
        &self.summary.best
    }

    /// Times, rates, memory, the baseline, and what the equivariance harness found.
    pub fn summary(&self) -> &Summary {
        &self.summary
    }

    /// The model, with the best weights, on the device it was trained on.
    pub fn model(&self) -> &Model {
        match &self.made {
            Made::Potential(potential) => potential.model(),
            Made::Other(model) => model,
        }
    }

    /// The same as a potential.
    ///
    /// # Panics
    /// If it was trained for anything but energies and forces.
    pub fn potential(&self) -> &Potential {
        match &self.made {
            Made::Potential(potential) => potential,
            Made::Other(model) => panic!("Fitted: trained for `{}`, which makes no potential", model.info().task.kind),
        }
    }
}
