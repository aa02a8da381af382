//! What training shows on stderr: tables of the data, a progress bar, a line per validation.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{HumanDuration, ProgressBar, ProgressDrawTarget, ProgressStyle};
use isograd::engine::Recompute;
use isograd::models::GraphSizes;
use isograd::ops::profile::Profile;
use isograd::tasks::{BySource, Metric, Metrics};
use isograd::train::{Event, Holding, MemoryWorkload, Observer, Prepared, Progress};

use super::plan::host_memory;
use super::tables::{bytes, counted, grouped, rate, reference_table, summary_table};

/// The bar counts thousandths of the whole training.
const TICKS: u64 = 1000;

/// Draws events as they come.
pub(crate) struct Display {
    bar: ProgressBar,
    terminal: bool,
    last: Progress,
    /// What a validation shows.
    metrics: Vec<Metric>,
}

impl Display {
    pub(crate) fn new() -> Self {
        let style = ProgressStyle::with_template("{spinner} {prefix} [{bar:28}] {percent:>3}%  {msg}")
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━╸─");
        let bar = ProgressBar::with_draw_target(Some(TICKS), ProgressDrawTarget::stderr_with_hz(8)).with_style(style);
        Self { bar, terminal: std::io::stderr().is_terminal(), last: Progress::default(), metrics: Vec::new() }
    }

    /// A line above the bar, or a plain one where stderr is no terminal.
    fn say(&self, text: &str) {
        if self.terminal {
            self.bar.println(text);
        } else {
            eprintln!("{text}");
        }
    }

    fn prepared(&mut self, prepared: &Prepared) {
        let metrics = prepared.info.task.metrics();
        self.metrics = metrics.into_iter().rev().filter(Metric::is_scored).collect();
        for report in &prepared.reports {
            self.say(&summary_table(&report.name, &report.summary).to_string());
            report.references.iter().for_each(|own| self.say(&reference_table(own).to_string()));
        }
        if let Some(start) = &prepared.start {
            self.say(&start.report.to_string());
        }
        for warning in &prepared.warnings {
            self.say(&format!("warning: {warning}"));
        }
        let (training, validation) = (&prepared.training, &prepared.validation);
        let edges: usize = training.sizes.iter().map(|sizes| sizes.edges).sum();
        self.say(&format!(
            "training on {} ({} edges an epoch), validating on {}",
            counted(training.len(), "structure"),
            grouped(edges),
            grouped(validation.len())
        ));
    }

    fn step(&mut self, progress: &Progress) {
        self.last = progress.clone();
        if !self.terminal {
            return;
        }
        let epochs = progress.epochs.map_or(String::new(), |epochs| format!("/{epochs}"));
        self.bar.set_prefix(format!("epoch {}{epochs}", progress.epoch + 1));
        self.bar.set_position((progress.done * TICKS as f64) as u64);
        self.bar.set_message(format!(
            "loss {:.4}  {}atoms/s  {}edges/s  {} left",
            progress.loss,
            rate(progress.atoms_per_second),
            rate(progress.edges_per_second),
            self.time_left()
        ));
    }

    fn time_left(&self) -> String {
        let Progress { done, seconds, .. } = self.last;
        if done < 1e-3 {
            return "?".into();
        }
        HumanDuration(Duration::from_secs_f64((seconds / done - seconds).clamp(0.0, 1e9))).to_string()
    }

    fn validated(&self, epoch: usize, metrics: &Metrics, best: bool) {
        let mut line = format!("epoch {epoch:>4}  step {:>7}", self.last.step);
        line += &self.numbers(metrics);
        if best {
            line += "  best";
        }
        if !self.terminal {
            line += &format!("  {:.0} s, {} left", self.last.seconds, self.time_left());
        }
        self.say(&line);
    }

    /// A line for each source, where there are several.
    fn sources(&self, by_source: &BySource) {
        let longest = by_source.0.keys().map(|name| name.chars().count()).max().unwrap_or_default();
        for (name, metrics) in &by_source.0 {
            self.say(format!("  {name:<longest$}{}", self.numbers(metrics)).trim_end());
        }
    }

    /// How far reading into memory is, and a line once it is done.
    fn holding(&self, Holding { samples, of, bytes: held }: Holding) {
        self.bar.set_position((TICKS as usize * samples / of.max(1)) as u64);
        self.bar.set_message(format!("reading {} samples into memory", grouped(of)));
        if samples == of {
            self.bar.set_position(0);
            self.bar.set_message("");
            self.say(&format!("in memory: {} of {} samples", bytes(Some(held)), grouped(of)));
        }
    }

    /// The numbers of a validation in a line.
    fn numbers(&self, metrics: &Metrics) -> String {
        let mut line = String::new();
        for metric in &self.metrics {
            let value = metrics.get(&metric.key).map_or("-".into(), |value| metric.shown(value));
            line += format!("  {} {value:>7} {}", metric.name, metric.unit).trim_end();
        }
        line
    }
}

impl Observer for Display {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Prepared(prepared) => self.prepared(prepared),
            Event::Member { number, of, seed } => {
                self.bar.reset();
                self.say(&format!("model {number} of {of}, seed {seed}"));
            }
            Event::Holding(holding) => self.holding(holding),
            Event::Planned(work, recompute) => {
                let Some(plan) = work.plan(recompute) else {
                    return self.say(&format!(
                        "memory: not planned, kind {} does not say how much it takes",
                        work.model.architecture().kind()
                    ));
                };
                self.say(&format!("memory: {} at the peak, as planned", bytes(Some(plan.total))));
                if let Recompute::Auto(limit) = recompute
                    && plan.total > limit
                {
                    let least = "keeping as little as possible is still above the limit of parallel.recompute";
                    self.say(&format!("warning: {least}, {}", bytes(Some(limit))));
                }
                let there = matches!(work.profile, Profile::Cpu { .. }).then(host_memory).flatten();
                if let Some(there) = there.filter(|there| *there < plan.total) {
                    self.say(&format!("warning: there are {}; {}", bytes(Some(there)), advice(work, recompute)));
                }
                super::memory::advise(advice(work, recompute));
            }
            Event::Resumed { step, epoch, changes } => {
                self.say(&format!("going on from step {step}, epoch {}", epoch + 1));
                changes.iter().for_each(|change| self.say(&format!("changed since then: {change}")));
            }
            Event::Step(progress) => self.step(progress),
            Event::Validated { epoch, metrics, by_source, best } => {
                self.validated(epoch, metrics, best);
                self.sources(by_source);
            }
            Event::Snapshot(_) => {}
            Event::Finished(_) => self.bar.finish_and_clear(),
            _ => {}
        }
    }
}

/// What to do if there is less memory than the plan asks for.
fn advice(work: &MemoryWorkload, recompute: Recompute) -> String {
    let with = |recompute| work.plan(recompute).map_or(0, |plan| plan.total);
    let (total, least) = (with(recompute), with(Recompute::Layer));
    let mut text = format!("the plan was {}", bytes(Some(total)));
    if least < total {
        text += &format!(", with parallel.recompute = \"layer\" it would be {}", bytes(Some(least)));
    }
    let half = total / 2;
    let batch = work.largest_batch(Recompute::Layer, half).filter(|batch| batch.nodes < work.batch.nodes);
    let batch = batch.map(|GraphSizes { nodes, edges, .. }| {
        let [atoms, edges] = [nodes, edges].map(|count| grouped(count as usize));
        format!("train.batch_atoms = {atoms} with train.batch_edges = {edges}")
    });
    let width = work.largest_width(Recompute::Layer, half).map(|width| format!("model.width = {width}"));
    let fits: Vec<String> = batch.into_iter().chain(width).collect();
    if !fits.is_empty() {
        text += &format!("; into half of the plan fits, with \"layer\", {}", fits.join(", or "));
    }
    text + "; `isograd plan CONFIG --memory BYTES` says what fits into what there is"
}
