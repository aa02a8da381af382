//! Training from Rust: a model, data, a device by name.

use std::path::PathBuf;
use std::sync::Arc;

use isograd_backends::device::DeviceName;
use isograd_data::{Keys, SplitBy};
use isograd_models::{AnyArchitecture, Architecture, Registry};
use isograd_structure::Units;
use isograd_tasks::PotentialTask;
use isograd_train::config::{Config, DataConfig, ModelConfig, ParallelConfig, RunConfig, SourceConfig, TrainConfig};
use isograd_train::run::{Best, RunDirectory, Summary};
use isograd_train::{Backend, Error, Event, Finished, Result, RunOn, dispatch, prepare_structures, train_on};
use serde_json::Value as Json;

use crate::{Potential, SplitData};

/// What is told of events.
type OnEvent = Box<dyn FnMut(Event<'_>)>;

/// Trains a potential. Everything that a config file can say is in [`Trainer::config`].
pub struct Trainer {
    config: Config,
    registry: Registry,
    on_event: Option<OnEvent>,
    out: Option<PathBuf>,
}

impl Trainer {
    /// A trainer of an architecture for energies and forces, with the defaults of the config file.
    pub fn new<A: Architecture>(architecture: A, task: PotentialTask) -> Self {
        let options = match architecture.options() {
            Json::Object(options) => options,
            _ => Default::default(),
        };
        let source = SourceConfig {
            name: "data".into(),
            files: Vec::new(),
            keys: Keys::default(),
            units: Units::default(),
            references: None,
        };
        let config = Config {
            data: DataConfig { sources: vec![source], split_by: SplitBy::Frame, ..DataConfig::default() },
            model: ModelConfig { kind: A::KIND.into(), options, ..ModelConfig::default() },
            loss: task.loss,
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

    /// Where to train. Default the CPU.
    #[must_use]
    pub fn device(self, device: DeviceName) -> Self {
        self.config(|config| config.train.device = device)
    }

    /// Who is told how training goes. Default nobody.
    #[must_use]
    pub fn on_event(self, observer: impl FnMut(Event<'_>) + 'static) -> Self {
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

    /// Trains.
    ///
    /// # Errors
    /// [`Error::Config`] for a value out of range, [`Error::Source`] for structures that are not fit for training,
    /// [`Error::Run`] for a run directory that is taken, [`Error::Diverged`] if the loss becomes NaN.
    pub fn fit(self, data: &SplitData) -> Result<Fitted> {
        let Self { mut config, registry, on_event, out } = self;
        if config.parallel.ranks != 1 {
            let message = format!("is {}; a trainer is one rank, see `train_rank` for several", config.parallel.ranks);
            return Err(Error::Config { place: "parallel.ranks".into(), message });
        }
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
        let device = config.train.device.clone();
        let fit = Fit { config: &config, registry: &registry, data, on_event };
        let finished = dispatch(&device, fit)??;
        let potential = Potential::load_with(&registry, finished.run.root(), device)?;
        Ok(Fitted { summary: finished.summary, potential })
    }
}

struct Fit<'a> {
    config: &'a Config,
    registry: &'a Registry,
    data: &'a SplitData,
    on_event: Option<OnEvent>,
}

impl RunOn for Fit<'_> {
    type Output = Result<Finished>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        let Self { config, registry, data, on_event } = self;
        let mut on_event = on_event.unwrap_or_else(|| Box::new(|_| ()));
        train_on::<B>(config, registry, false, &device, &mut on_event, || {
            let [training, validation] = [data.training(), data.validation()].map(<[_]>::to_vec);
            prepare_structures(config, registry, training, validation).map(Arc::new)
        })
    }
}

/// What training has made.
#[derive(Debug)]
pub struct Fitted {
    summary: Summary,
    potential: Potential,
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

    /// The potential, with the best weights, on the device it was trained on.
    pub fn potential(&self) -> &Potential {
        &self.potential
    }
}
