//! One session of training: from a config to a finished run directory.

use std::sync::Arc;
use std::time::Instant;

use burn::backend::Autodiff;
use burn::module::AutodiffModule;
use isograd_backends::memory::{MeasuredBackend, reset_peak};
use isograd_equivariance::Settings;

use super::average::Average;
use super::check::{CASES_AFTER_TRAINING, check_potential};
use super::data::{Prepared, prepare};
use super::evaluate::{baseline, evaluate};
use super::events::{Event, Observer, Progress};
use super::metrics::Metrics;
use super::optimizer::{Optimizer, clip_scale, global_norm};
use super::plan::{MemoryPlan, Work};
use super::step::accumulate;
use super::window::Window;
use crate::config::Config;
use crate::engine::Segment;
use crate::graph::{HostBatch, Loader, cut, epoch_order, pack};
use crate::model::{self, Egnn, Parameter};
use crate::run::report::{self, Report};
use crate::run::{
    Best, EquivarianceSummary, LogLine, MetricsLog, RunDirectory, Snapshot, State, Summary, TrainSummary,
    load_potential, save_potential,
};
use crate::{Error, Result};

/// What a finished run has to show.
pub struct Outcome {
    /// The run directory.
    pub run: RunDirectory,
    /// The content of its `summary.json`.
    pub summary: Summary,
}

/// Trains as the config says, in the run directory it names; with `resume`, goes on from the latest
/// snapshot there, if there is one.
///
/// # Errors
/// Whatever is wrong with data, directory or snapshot; [`Error::Diverged`] if the loss becomes NaN.
pub fn train<B: MeasuredBackend<FloatElem = f32>>(
    config: &Config,
    resume: bool,
    device: &B::Device,
    observer: &mut impl Observer,
) -> Result<Outcome> {
    config.check_single_process()?;
    let root = &config.run.out;
    let existing = RunDirectory::open(root).ok();
    if existing.is_some() && !resume {
        return Err(RunDirectory::taken(root));
    }
    // Data first: what cannot be trained on leaves no run directory behind.
    let prepared = prepare(config)?;
    let run = existing.map_or_else(|| RunDirectory::create(root, config), Ok)?;
    observer.event(Event::Prepared(&prepared));
    let mut session = Session::<B>::start(config, &run, &prepared, resume, device, observer)?;
    while session.goes_on() {
        session.epoch(observer)?;
    }
    let outcome = session.finish()?;
    observer.event(Event::Finished(&outcome));
    Ok(outcome)
}

struct Session<'a, B: MeasuredBackend<FloatElem = f32>> {
    config: &'a Config,
    run: &'a RunDirectory,
    prepared: &'a Prepared,
    device: &'a B::Device,
    /// Which stages keep what they compute.
    segments: Vec<Segment>,
    plan: MemoryPlan,
    /// Taken out only while it is updated in place.
    model: Option<Egnn<Autodiff<B>>>,
    optimizer: Optimizer<B>,
    average: Average<B>,
    state: State,
    log: MetricsLog,
    /// Seconds of earlier sessions.
    before: f64,
    start: Instant,
    window: Window,
    learning_rate: f64,
    gradient_norm: f64,
}

impl<'a, B: MeasuredBackend<FloatElem = f32>> Session<'a, B> {
    fn start(
        config: &'a Config,
        run: &'a RunDirectory,
        prepared: &'a Prepared,
        resume: bool,
        device: &'a B::Device,
        observer: &mut impl Observer,
    ) -> Result<Self> {
        let work = Work::of_data(config, prepared, B::profile(device));
        let segments = work.segments(config.parallel.recompute);
        let plan = work.plan(config.parallel.recompute);
        observer.event(Event::Planned(&work, config.parallel.recompute));
        reset_peak();
        let mut model = Egnn::<Autodiff<B>>::new(&prepared.info.model, config.train.seed, device);
        model.message = config.train.message;
        let mut optimizer = Optimizer::new(&config.train.optimizer);
        let mut average = Average::new(config.train.ema_decay);
        let mut state = State::new(config.training_hash());
        let parameters = model::read(&model.valid());
        let latest = Snapshot::<B>::load_latest(&run.snapshots(), &parameters, &state.config)?;
        if let Some(snapshot) = latest.filter(|_| resume) {
            let weights: Vec<_> = snapshot.weights.into_iter().map(burn::tensor::Tensor::from_inner).collect();
            model = model::write(model, &weights);
            if let Some((steps, moments)) = snapshot.optimizer {
                optimizer.restore(steps, moments);
            }
            average.values = snapshot.average;
            state = snapshot.state;
            observer.event(Event::Resumed { step: state.step, epoch: state.epoch });
        }
        run.save_config(config)?;
        let log = MetricsLog::open(&run.metrics_file(), state.step)?;
        Ok(Self {
            config,
            run,
            prepared,
            device,
            segments,
            plan,
            model: Some(model),
            optimizer,
            average,
            before: state.seconds,
            state,
            log,
            start: Instant::now(),
            window: Window::new(),
            learning_rate: 0.0,
            gradient_norm: 0.0,
        })
    }

    fn seconds(&self) -> f64 {
        self.before + self.start.elapsed().as_secs_f64()
    }

    fn goes_on(&self) -> bool {
        let train = &self.config.train;
        let patient = train.early_stopping == 0 || self.state.stale < train.early_stopping;
        patient && train.epochs.is_none_or(|epochs| self.state.epoch < epochs) && !self.out_of_time()
    }

    fn out_of_time(&self) -> bool {
        self.config.train.seconds.is_some_and(|limit| self.seconds() >= limit)
    }

    /// Share of training done at a position in the epoch, 0 to 1.
    fn progress(&self, batches: usize) -> f64 {
        let train = &self.config.train;
        let time = train.seconds.map(|limit| self.seconds() / limit);
        let within = self.state.batch as f64 / batches.max(1) as f64;
        let epochs = train.epochs.map(|epochs| (self.state.epoch as f64 + within) / epochs as f64);
        time.into_iter().chain(epochs).fold(0.0, f64::max).min(1.0)
    }

    /// Trains to the end of the epoch, or of the time.
    fn epoch(&mut self, observer: &mut impl Observer) -> Result<()> {
        let train = &self.config.train;
        let dataset = self.prepared.training.clone();
        let order = epoch_order(train.seed, self.state.epoch, dataset.len());
        let batches = pack(&order, &dataset.sizes, train.budget());
        let count = batches.len();
        let parts = train.parts;
        let make = Arc::new(move |members: &[usize]| -> Result<Vec<HostBatch>> {
            cut(members, &dataset.sizes, parts).iter().map(|part| dataset.batch(part)).collect()
        });
        let mut loader = Loader::new(make, batches.into_iter().skip(self.state.batch).collect(), train.workers);
        self.window = Window::new();
        let mut waited = 0.0;
        while !self.out_of_time() {
            let taken: Vec<Vec<HostBatch>> = loader.by_ref().take(train.accumulate).collect::<Result<_>>()?;
            if taken.is_empty() {
                break;
            }
            self.state.waited += loader.waited().as_secs_f64() - waited;
            waited = loader.waited().as_secs_f64();
            self.state.batch += taken.len();
            let micro_batches: Vec<HostBatch> = taken.into_iter().flatten().collect();
            self.step(&micro_batches, count)?;
            let progress = self.report_progress(count);
            observer.event(Event::Step(&progress));
            if self.state.step.is_multiple_of(self.config.run.log_every) {
                self.log_line(count, self.window.rates(), None, None)?;
            }
            let every = self.config.run.snapshot_every;
            if every > 0 && self.state.step.is_multiple_of(every) && self.state.batch < count {
                self.snapshot(observer)?;
            }
        }
        let complete = self.state.batch == count;
        let due = (self.state.epoch + 1).is_multiple_of(train.validate_every);
        let last = train.epochs == Some(self.state.epoch + 1) || self.out_of_time();
        if due || last {
            self.validate(count, observer)?;
        }
        if complete {
            self.state.epoch += 1;
            self.state.batch = 0;
        }
        if due || last {
            self.snapshot(observer)?;
        }
        Ok(())
    }

    fn step(&mut self, micro_batches: &[HostBatch], batches: usize) -> Result<()> {
        let train = &self.config.train;
        let (loss, gradients) =
            accumulate(self.model(), &self.config.loss, micro_batches, &self.segments, train.parts, self.device);
        let norm = global_norm(&gradients);
        if !(loss.is_finite() && norm.is_finite()) {
            return Err(Error::Diverged(format!(
                "the loss became {loss} and the gradient's norm {norm} at step {}; lower train.learning_rate, or look at the \
                 data with `isograd data info`. The last snapshot is in {}",
                self.state.step,
                self.run.snapshots().display()
            )));
        }
        let share = train.schedule.share(self.state.step, self.progress(batches), &self.state.plateau);
        self.learning_rate = train.learning_rate * share;
        self.gradient_norm = norm;
        let scale = clip_scale(norm, train.clip_norm);
        self.model = self.model.take().map(|model| self.optimizer.step(model, self.learning_rate, gradients, scale));
        self.state.step += 1;
        if train.ema_decay > 0.0 {
            self.average.update(self.state.step, self.raw_weights());
        }
        self.state.loss_sum += loss;
        self.state.loss_count += 1;
        for batch in micro_batches {
            self.window.count(batch);
            self.state.edges += batch.edges() as u64;
        }
        Ok(())
    }

    fn model(&self) -> &Egnn<Autodiff<B>> {
        self.model.as_ref().expect("the model is back after each update")
    }

    fn raw_weights(&self) -> Vec<burn::tensor::Tensor<B, 1>> {
        model::read(&self.model().valid()).into_iter().map(|parameter| parameter.values).collect()
    }

    fn mean_loss(&self) -> f64 {
        if self.state.loss_count == 0 { 0.0 } else { self.state.loss_sum / self.state.loss_count as f64 }
    }

    fn report_progress(&self, batches: usize) -> Progress {
        let [edges_per_second, atoms_per_second] = self.window.rates();
        Progress {
            epoch: self.state.epoch,
            epochs: self.config.train.epochs,
            step: self.state.step,
            done: self.progress(batches),
            loss: self.mean_loss(),
            atoms_per_second,
            edges_per_second,
            seconds: self.seconds(),
        }
    }

    fn log_line(
        &mut self,
        batches: usize,
        rates: [f64; 2],
        validation: Option<Metrics>,
        raw: Option<Metrics>,
    ) -> Result<()> {
        let line = LogLine {
            step: self.state.step,
            epoch: self.state.epoch as f64 + self.state.batch as f64 / batches.max(1) as f64,
            seconds: self.seconds(),
            loss: self.mean_loss(),
            learning_rate: self.learning_rate,
            gradient_norm: self.gradient_norm,
            edges_per_second: rates[0],
            atoms_per_second: rates[1],
            peak_bytes: B::peak_bytes(self.device),
            validation,
            validation_raw: raw,
        };
        self.log.push(&line)?;
        (self.state.loss_sum, self.state.loss_count) = (0.0, 0);
        self.window = Window::new();
        Ok(())
    }

    fn errors_of(&self, model: &Egnn<B>) -> Result<Metrics> {
        let train = &self.config.train;
        let tally = evaluate(model, &self.prepared.validation, train.budget(), train.workers, self.device)?;
        Ok(tally.metrics())
    }

    /// Predicts the validation set, logs, and keeps the weights if they are the best so far.
    fn validate(&mut self, batches: usize, observer: &mut impl Observer) -> Result<()> {
        // Measured now: validation is no part of the training rate.
        let rates = self.window.rates();
        let raw_model = self.model().valid();
        let raw = self.errors_of(&raw_model)?;
        let (metrics, chosen) = if self.average.values.is_empty() {
            (raw, raw_model)
        } else {
            let averaged = model::write(raw_model, &self.average.values);
            (self.errors_of(&averaged)?, averaged)
        };
        let loss = &self.config.loss;
        let score = metrics.score(loss.energy_weight, loss.force_weight);
        let best = self.state.best.is_none_or(|best| score < best.score);
        if best {
            self.state.best = Some(Best { step: self.state.step, score, validation: metrics });
            self.state.stale = 0;
            save_potential(&self.run.best_weights(), &model::read(&chosen), &self.prepared.info)?;
        } else {
            self.state.stale += 1;
        }
        self.state.plateau.observe(&self.config.train.schedule, score);
        let averaged = !self.average.values.is_empty();
        self.log_line(batches, rates, Some(metrics), averaged.then_some(raw))?;
        observer.event(Event::Validated { epoch: self.state.epoch + 1, metrics: &metrics, best });
        Ok(())
    }

    fn snapshot(&mut self, observer: &mut impl Observer) -> Result<()> {
        self.state.seconds = self.seconds();
        let parameters: Vec<Parameter<B>> = model::read(&self.model().valid());
        let snapshot = Snapshot {
            state: self.state.clone(),
            weights: parameters.iter().map(|parameter| parameter.values.clone()).collect(),
            optimizer: self.optimizer.state(),
            average: self.average.values.clone(),
        };
        let path = snapshot.save(&self.run.snapshots(), &parameters, self.config.run.keep)?;
        observer.event(Event::Snapshot(&path));
        Ok(())
    }

    /// Writes summary and report from the best weights.
    fn finish(mut self) -> Result<Outcome> {
        let best = self.state.best.ok_or_else(|| Error::Internal("training ended without a validation".into()))?;
        let train = &self.config.train;
        let seconds = self.seconds();
        // What training held makes room for what it made.
        self.model = None;
        self.optimizer = Optimizer::new(&train.optimizer);
        self.average.values.clear();
        let potential = load_potential::<B>(&self.run.best_weights(), self.device)?;
        let validation = &self.prepared.validation;
        let tally = evaluate(&potential.model, validation, train.budget(), train.workers, self.device)?;
        let peak_bytes = B::peak_bytes(self.device);
        let settings = Settings { cases: CASES_AFTER_TRAINING, ..Settings::default() };
        let equivariance = check_potential(&potential, self.device, &settings);
        let summary = Summary {
            best,
            baseline: baseline(validation).metrics(),
            train: TrainSummary {
                seconds,
                steps: self.state.step,
                epochs: self.state.epoch,
                edges_per_second: self.state.edges as f64 / seconds,
                peak_bytes,
                planned_bytes: self.plan.total,
                data_wait_share: self.state.waited / seconds,
            },
            parameters: model::count(&potential.model),
            device: train.device.to_string(),
            equivariance: EquivarianceSummary { passed: equivariance.passed, worst: equivariance.worst.clone() },
        };
        let json = serde_json::to_vec_pretty(&summary).map_err(|error| Error::Internal(error.to_string()))?;
        self.run.write("summary.json", &json)?;
        let lines = MetricsLog::read(&self.run.metrics_file())?;
        let config = self.config.to_toml()?;
        let name = self.run.name();
        let page = report::render(&Report {
            name: &name,
            summary: &summary,
            lines: &lines,
            sources: &self.prepared.reports,
            warnings: &self.prepared.warnings,
            tally: &tally,
            equivariance: &equivariance,
            info: &self.prepared.info,
            config: &config,
        })?;
        self.run.write("report.html", page.as_bytes())?;
        Ok(Outcome { run: self.run.clone(), summary })
    }
}
