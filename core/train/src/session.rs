//! One session of training on one rank: epochs, steps, validations, snapshots.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Instant;

use isograd_comm::Usage;
use isograd_data::{Sizes, cut, pack, share};
use isograd_engine::zero::{Sharded, Train, View};
use isograd_engine::{Segment, clip_scale};
use isograd_models::Registry;
use isograd_ops::memory::reset_peak;
use isograd_tasks::{BySource, Metrics, Term};

use crate::feed::{Feed, Walk};
use crate::finish::{evaluate_shared, finish};
use crate::job::Job;
use crate::run::{
    Best, Columns, Course, LogLine, Logs, RankSummary, SampleSet, Start, State, TrainSummary, load_latest, save_model,
    save_snapshot,
};
use crate::window::Window;
use crate::{
    Backend, Batch, Dataset, Error, Event, Finished, LossGradient, MemoryPlan, MemoryWorkload, Observer, Place,
    Predictor, Prepared, Progress, Result, Sample, Step, agree,
};

/// What a validation found.
#[derive(Default)]
struct Validation {
    /// Errors of the averaged weights, or of the raw ones where there is no average.
    metrics: Option<Metrics>,
    by_source: BySource,
    /// Errors of the raw weights, where there is an average.
    raw: Option<Metrics>,
}

pub(crate) struct Session<'a, B: Backend> {
    job: Job<'a, B>,
    /// The terms of the loss.
    terms: Vec<Term>,
    gradient: LossGradient<'a, B>,
    /// Which blocks keep what they compute.
    segments: Vec<Segment>,
    /// `None` where the model cannot tell.
    plan: Option<MemoryPlan>,
    sharded: Sharded<B>,
    state: State,
    /// Of the first rank only.
    log: Option<Logs>,
    /// Seconds of earlier sessions.
    before: f64,
    start: Instant,
    /// What ranks had communicated before.
    used: Usage,
    /// Seconds trained when ranks last agreed, by the first one's clock.
    now: f64,
    /// Whether a rank was told to stop.
    stopped: bool,
    window: Window,
    /// Edges that this rank has trained on in this session.
    own_edges: usize,
    learning_rate: f64,
    gradient_norm: f64,
}

/// Letters of a hash.
const HASH: usize = 2 * blake3::OUT_LEN;

/// What is known before the first step.
fn start<B: Backend>(job: &Job<'_, B>, parameters: usize) -> Start {
    let Prepared { training, validation, .. } = job.prepared;
    // It begins with the hashes of both.
    let hash = |place: usize| job.data.get(place * HASH..(place + 1) * HASH).unwrap_or_default().to_owned();
    let set = |dataset: &Dataset, place| SampleSet { structures: dataset.len(), hash: hash(place) };
    Start { parameters, training: set(training, 0), validation: set(validation, 1) }
}

/// The names of all numbers in the log.
fn columns<B: Backend>(job: &Job<'_, B>) -> Result<Columns> {
    let Prepared { validation, info, .. } = job.prepared;
    let sources: Vec<String> = info.sources.iter().map(|source| source.name.clone()).collect();
    Columns::of(&validation.task().metrics(), &sources, job.config.train.ema_decay > 0.0)
}

impl<'a, B: Backend> Session<'a, B> {
    pub(crate) fn start(job: Job<'a, B>, resume: bool, observer: &mut impl Observer) -> Result<Self> {
        let Job { config, run, prepared, ranks, device, .. } = job;
        let work = MemoryWorkload::of_data(config, prepared, B::profile(device));
        let segments = work.segments(config.parallel.recompute);
        let plan = work.plan(config.parallel.recompute);
        observer.event(Event::Planned(&work, config.parallel.recompute));
        reset_peak();
        let comm = &ranks.comm;
        let train = Train {
            optimizer: config.train.optimizer.clone(),
            ema_decay: config.train.ema_decay,
            zero: config.parallel.zero,
        };
        let layout = prepared.model.layout(comm.size()).freeze(|path| config.train.is_frozen(path));
        let mut sharded = Sharded::new(layout, config.train.seed, comm.clone(), &train, device);
        let course = Course { settings: config.training_hash(), data: job.data.to_owned() };
        let (changed, free) = if resume { config.changes_since(&run.settings()?)? } else { Default::default() };
        let latest = load_latest(&run.snapshots(), &mut sharded, &**comm, &course, &changed, device)?;
        let state = match latest {
            Some(state) => {
                observer.event(Event::Resumed { step: state.step, epoch: state.epoch, changes: &free });
                state
            }
            None => {
                if let Some(start) = &prepared.start {
                    start.put_into(&mut sharded, config.train.seed)?;
                }
                State::new(course)
            }
        };
        let log = if comm.rank() == 0 {
            run.save_config(config)?;
            run.save_start(&start(&job, sharded.layout().count()))?;
            Some(Logs::open(run, &config.run.log, columns(&job)?, state.step, state.seconds)?)
        } else {
            None
        };
        debug_assert!(resume || state.step == 0, "a new run has no snapshots");
        let task = prepared.training.task();
        let place = Place::of_rank::<B>(device, comm.size());
        let mut session = Self {
            job,
            terms: task.terms(),
            gradient: LossGradient::new(&prepared.model, &task.targets, place, device),
            segments,
            plan,
            sharded,
            before: state.seconds,
            now: state.seconds,
            stopped: false,
            state,
            log,
            start: Instant::now(),
            used: comm.usage(),
            window: Window::new(),
            own_edges: 0,
            learning_rate: 0.0,
            gradient_norm: 0.0,
        };
        // What training starts from may be better than what it comes to.
        if prepared.start.is_some() && session.state.best.is_none() && session.state.step == 0 {
            session.judge(0, observer)?;
        }
        Ok(session)
    }

    fn seconds(&self) -> f64 {
        self.before + self.start.elapsed().as_secs_f64()
    }

    /// Exchanges this rank's numbers, whether it was told to stop, and its clock; returns the numbers of all
    /// ranks.
    fn agree(&mut self, own: [f64; 2]) -> Result<Vec<[f64; 2]>> {
        let stop = f64::from(u8::from(self.job.ranks.stop.load(Relaxed)));
        let all = agree::numbers(&*self.job.ranks.comm, [own[0], own[1], stop, self.seconds()])?;
        self.stopped |= all.iter().any(|[.., stop, _]| *stop > 0.0);
        self.now = all[0][3];
        Ok(all.into_iter().map(|[first, second, ..]| [first, second]).collect())
    }

    /// The step after which it was told to stop.
    pub(crate) fn stopped_at(&self) -> Option<usize> {
        self.stopped.then_some(self.state.step)
    }

    pub(crate) fn goes_on(&self) -> bool {
        let train = &self.job.config.train;
        let patient = train.early_stopping == 0 || self.state.stale < train.early_stopping;
        let more = train.epochs.is_none_or(|epochs| self.state.epoch < epochs);
        patient && more && !self.out_of_time() && !self.stopped
    }

    fn out_of_time(&self) -> bool {
        self.job.config.train.seconds.is_some_and(|limit| self.now >= limit)
    }

    /// Share of training done at a position in the epoch, 0 to 1.
    fn progress(&self, batches: usize) -> f64 {
        let train = &self.job.config.train;
        let time = train.seconds.map(|limit| self.now / limit);
        let within = self.state.batch as f64 / batches.max(1) as f64;
        let epochs = train.epochs.map(|epochs| (self.state.epoch as f64 + within) / epochs as f64);
        time.into_iter().chain(epochs).fold(0.0, f64::max).min(1.0)
    }

    /// Trains to the end of the epoch, or of the time, or until it is stopped.
    pub(crate) fn epoch(&mut self, observer: &mut impl Observer) -> Result<()> {
        let train = &self.job.config.train;
        let dataset = self.job.prepared.training.clone();
        let order = self.job.prepared.mixture.order(train.seed, self.state.epoch);
        let batches = Arc::new(pack(order, &dataset.sizes, train.budget()));
        let count = batches.len();
        let (ranks, parts) = (self.job.ranks.comm.size(), train.parts);
        let (members, sizes) = (batches.clone(), dataset.clone());
        let walk = Walk {
            dataset,
            held: self.job.resident.training(),
            shares: Arc::new(move |batch| share(members.get(batch).unwrap_or_default(), &sizes.sizes, ranks)),
            steps: self.state.batch..count,
        };
        let assemble = move |dataset: &Dataset, own: &[usize], samples: Vec<Sample>| -> Vec<Batch> {
            let mut samples = samples.into_iter();
            let runs = cut(own, &dataset.sizes, parts);
            runs.iter().map(|run| dataset.batch_of(run, samples.by_ref().take(run.len()).collect())).collect()
        };
        let mut feed = Feed::new(&*self.job.ranks.comm, train, walk, Arc::new(assemble));
        self.window = Window::new();
        let mut waited = 0.0;
        while !self.out_of_time() && !self.stopped {
            let taken: Vec<Vec<Batch>> = feed.by_ref().take(train.accumulate).collect::<Result<_>>()?;
            if taken.is_empty() {
                break;
            }
            self.state.waited += feed.waited() - waited;
            waited = feed.waited();
            let next = self.state.batch + taken.len();
            let members = batches.get_run(self.state.batch..next).unwrap_or_default();
            self.state.batch = next;
            self.step(members, &taken, count)?;
            let progress = self.report_progress(count);
            observer.event(Event::Step(&progress));
            if self.state.step.is_multiple_of(self.job.config.run.log_every) {
                self.log_line(count, self.window.rates(), Validation::default())?;
            }
            let every = self.job.config.run.snapshot_every;
            if every > 0 && self.state.step.is_multiple_of(every) && self.state.batch < count && !self.stopped {
                self.snapshot(observer)?;
            }
        }
        drop(feed);
        if self.stopped {
            return self.snapshot(observer);
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
        self.agree([0.0; 2])?;
        if due || last || self.stopped {
            self.snapshot(observer)?;
        }
        Ok(())
    }

    /// One step on batches of all ranks, whose members are given; `batches` is what this rank has of them.
    fn step(&mut self, members: &[usize], batches: &[Vec<Batch>], count: usize) -> Result<()> {
        let train = &self.job.config.train;
        let dataset = &self.job.prepared.training;
        let counts = dataset.label_counts(members)?;
        let targets = &dataset.task().targets;
        let step = Step { targets, terms: &self.terms, batches, counts: &counts, segments: &self.segments };
        let gradient = &self.gradient;
        let (loss, gradients) =
            self.sharded.gradients(batches.len(), |weights, sink| gradient.accumulate(weights, &step, sink))?;
        let squares = self.sharded.squares(&gradients);
        let all = self.agree([loss, squares])?;
        let [loss, squares] = all.iter().fold([0.0; 2], |sum, own| [sum[0] + own[0], sum[1] + own[1]]);
        let norm = squares.sqrt();
        if !(loss.is_finite() && norm.is_finite()) {
            let snapshots = self.job.run.snapshots();
            let last = match std::fs::read_dir(&snapshots).is_ok_and(|mut all| all.next().is_some()) {
                true => format!("The last snapshot is in {}", snapshots.display()),
                false => "There is no snapshot yet: start again".into(),
            };
            return Err(Error::Diverged(format!(
                "the loss became {loss} and the gradient's norm {norm} at step {}; lower train.learning_rate, or look at the \
                 data with `isograd data audit`. {last}",
                self.state.step
            )));
        }
        let share = train.schedule.share(self.state.step, self.progress(count), &self.state.plateau);
        self.learning_rate = train.learning_rate * share;
        self.gradient_norm = norm;
        let scale = clip_scale(norm, train.clip_norm);
        self.state.step += 1;
        self.sharded.update(self.state.step, self.learning_rate, gradients, scale)?;
        self.state.loss_sum += loss;
        self.state.loss_count += 1;
        let sizes: Sizes = dataset.total(members);
        self.window.count(sizes);
        self.state.edges += sizes.edges as u64;
        self.own_edges += batches.iter().flatten().map(|batch| batch.graphs.edges()).sum::<usize>();
        Ok(())
    }

    fn mean_loss(&self) -> f64 {
        if self.state.loss_count == 0 { 0.0 } else { self.state.loss_sum / self.state.loss_count as f64 }
    }

    fn report_progress(&self, batches: usize) -> Progress {
        let [edges_per_second, atoms_per_second] = self.window.rates();
        Progress {
            epoch: self.state.epoch,
            epochs: self.job.config.train.epochs,
            step: self.state.step,
            done: self.progress(batches),
            loss: self.mean_loss(),
            atoms_per_second,
            edges_per_second,
            seconds: self.seconds(),
        }
    }

    fn log_line(&mut self, batches: usize, rates: [f64; 2], validation: Validation) -> Result<()> {
        // A validation may follow a line of the same step.
        let (loss, rates) = if self.state.loss_count == 0 { self.state.logged } else { (self.mean_loss(), rates) };
        self.state.logged = (loss, rates);
        let line = LogLine {
            step: self.state.step,
            epoch: self.state.epoch as f64 + self.state.batch as f64 / batches.max(1) as f64,
            seconds: self.seconds(),
            loss,
            learning_rate: self.learning_rate,
            gradient_norm: self.gradient_norm,
            edges_per_second: rates[0],
            atoms_per_second: rates[1],
            peak_bytes: B::peak_bytes(self.job.device),
            validation: validation.metrics,
            validation_by_source: validation.by_source,
            validation_raw: validation.raw,
        };
        if let Some(log) = &mut self.log {
            log.push(&line)?;
        }
        (self.state.loss_sum, self.state.loss_count) = (0.0, 0);
        self.window = Window::new();
        Ok(())
    }

    fn errors_of(&self, weights: View<'_, B>) -> Result<(Metrics, BySource)> {
        let Prepared { model, validation, info, .. } = self.job.prepared;
        let tallies = evaluate_shared(&Predictor::of_view(model, weights), &self.job)?;
        let metrics = validation.task().metrics();
        let names = info.sources.iter().map(|source| source.name.clone());
        Ok((tallies.all.metrics(&metrics), tallies.by_source(&metrics, names)))
    }

    /// Predicts the validation set after so many epochs, and keeps the weights if they are the best so far.
    fn judge(&mut self, epoch: usize, observer: &mut impl Observer) -> Result<(Option<f64>, Validation)> {
        let latest = self.sharded.latest();
        let raw = self.errors_of(latest)?;
        let averaged = self.sharded.averaged();
        let (metrics, by_source) = averaged.map_or_else(|| Ok(raw.clone()), |averaged| self.errors_of(averaged))?;
        let validation = &self.job.prepared.validation;
        let score = (!validation.is_empty()).then(|| validation.task().score(&metrics));
        // Where nothing is held out, the last weights are kept.
        let best = self.state.best.as_ref().and_then(|best| best.score).zip(score).is_none_or(|(best, now)| now < best);
        if best {
            save_model(&self.job.run.best_weights(), &averaged.unwrap_or(latest), &self.job.prepared.info)?;
            self.state.best = Some(Best {
                step: self.state.step,
                score,
                validation: metrics.clone(),
                validation_by_source: by_source.clone(),
            });
            self.state.stale = 0;
        } else {
            self.state.stale += 1;
        }
        let raw = averaged.is_some().then_some(raw.0);
        observer.event(Event::Validated { epoch, metrics: &metrics, by_source: &by_source, best });
        Ok((score, Validation { metrics: Some(metrics), by_source, raw }))
    }

    /// Predicts the validation set, logs, and keeps the weights if they are the best so far.
    fn validate(&mut self, batches: usize, observer: &mut impl Observer) -> Result<()> {
        // Measured now: validation is no part of the training rate.
        let rates = self.window.rates();
        let (score, found) = self.judge(self.state.epoch + 1, observer)?;
        if let Some(score) = score {
            self.state.plateau.observe(&self.job.config.train.schedule, score);
        }
        self.log_line(batches, rates, found)
    }

    fn snapshot(&mut self, observer: &mut impl Observer) -> Result<()> {
        self.state.seconds = self.seconds();
        let comm = &*self.job.ranks.comm;
        let path =
            save_snapshot(&self.state, &self.sharded, comm, &self.job.run.snapshots(), self.job.config.run.keep)?;
        observer.event(Event::Snapshot(&path));
        Ok(())
    }

    /// Lets go of what training held, which makes room for what it made, and writes that down.
    pub(crate) fn finish(self, registry: &Registry) -> Result<Finished> {
        let Self { job, sharded, .. } = self;
        let Job { config, ranks, device, .. } = job;
        let best =
            self.state.best.clone().ok_or_else(|| Error::Internal("training ended without a validation".into()))?;
        let seconds = self.before + self.start.elapsed().as_secs_f64();
        let session = self.start.elapsed().as_secs_f64();
        let (used, usage) = (self.used, ranks.comm.usage());
        let own = RankSummary {
            device: config.train.device.to_string(),
            edges_per_second: self.own_edges as f64 / session,
            peak_bytes: B::peak_bytes(device),
            held: sharded.held(),
            communication_share: (usage.waited - used.waited) / session,
            communication_busy_share: (usage.busy - used.busy) / session,
            sent_bytes: usage.sent - used.sent,
        };
        drop(sharded);
        let all = agree::all(&*ranks.comm, &own)?;
        let train = TrainSummary {
            seconds,
            steps: self.state.step,
            epochs: self.state.epoch,
            edges_per_second: self.state.edges as f64 / seconds,
            peak_bytes: own.peak_bytes,
            planned_bytes: self.plan.map(|plan| plan.total),
            data_wait_share: self.state.waited / seconds,
            ranks: all,
        };
        finish(&job, registry, best, train)
    }
}
