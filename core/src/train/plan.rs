//! How much memory training will take, before anything of it is there.

use isograd_backends::message::scratch::{Profile, VALUE, packing};
use isograd_data::{BATCHES_OF_WORKER, epoch_order, pack};
use serde::{Deserialize, Serialize};

use super::data::Prepared;
use crate::config::Config;
use crate::engine::{Recompute, Segment, walk_bytes};
use crate::model::{BatchShape, EgnnConfig, MessageKind, ModelBytes};

/// What decides how much memory training takes.
#[derive(Debug, Clone, PartialEq)]
pub struct Work {
    /// The model.
    pub model: EgnnConfig,
    /// How its work on edges is done.
    pub message: MessageKind,
    /// What of a device decides how much memory operations take.
    pub profile: Profile,
    /// The batch of a step, of all ranks together.
    pub batch: BatchShape,
    /// Parts of it that a rank differentiates side by side.
    pub parts: u64,
    /// Batches whose gradients are added before a step.
    pub accumulate: u64,
    /// Batches that wait in host memory.
    pub waiting: u64,
    /// Whether weights are averaged.
    pub average: bool,
    /// R.
    pub ranks: u64,
    /// ZeRO stage.
    pub zero: u8,
}

/// Bytes on each rank at the moment at which they are most; they add up to the total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPlan {
    /// Weights.
    pub parameters: u64,
    /// Gradients that have been made.
    pub gradients: u64,
    /// Moments of AdamW.
    pub optimizer: u64,
    /// Averaged weights.
    pub ema: u64,
    /// What is kept for the way back.
    pub activations: u64,
    /// The largest of what comes and goes.
    pub transient: u64,
    /// Batches.
    pub data: u64,
    /// All of it.
    pub total: u64,
}

impl MemoryPlan {
    fn summed(mut self) -> Self {
        let Self { parameters, gradients, optimizer, ema, activations, transient, data, .. } = self;
        self.total = parameters + gradients + optimizer + ema + activations + transient + data;
        self
    }
}

/// Bytes of an edge and of an atom in a batch on the host: two indices and a vector in double precision;
/// element, graph, offset, force and mask.
const HOST_EDGE: u64 = 32;
const HOST_ATOM: u64 = 28;

impl Work {
    /// What a config asks for, of a model and of batches of this size.
    pub fn new(config: &Config, model: EgnnConfig, batch: BatchShape, profile: Profile) -> Self {
        let Config { train, parallel, .. } = config;
        Self {
            model,
            message: train.message,
            profile,
            batch,
            parts: train.parts as u64,
            accumulate: train.accumulate as u64,
            waiting: (train.workers * BATCHES_OF_WORKER) as u64,
            average: train.ema_decay > 0.0,
            ranks: parallel.ranks as u64,
            zero: parallel.zero,
        }
    }

    /// The same, of prepared data: the largest batch of the first epoch stands for all.
    pub fn of_data(config: &Config, prepared: &Prepared, profile: Profile) -> Self {
        let sizes = &prepared.training.sizes;
        let order = epoch_order(config.train.seed, 0, sizes.len());
        let shape = |members: Vec<usize>| BatchShape {
            graphs: members.len() as u64,
            atoms: members.iter().map(|&k| sizes[k].atoms as u64).sum(),
            edges: members.iter().map(|&k| sizes[k].edges as u64).sum(),
        };
        let batches = pack(&order, sizes, config.train.budget()).into_iter().map(shape);
        let largest = batches.max_by_key(|shape| shape.edges).unwrap_or_default();
        Self::new(config, prepared.info.model.clone(), largest, profile)
    }

    /// The part of a batch that a rank differentiates at once.
    fn part(&self) -> BatchShape {
        let share = |count: u64| count.div_ceil(self.ranks * self.parts);
        let BatchShape { graphs, atoms, edges } = self.batch;
        BatchShape { graphs: share(graphs), atoms: share(atoms), edges: share(edges) }
    }

    fn model_bytes(&self) -> ModelBytes {
        self.model.bytes(self.part(), self.message, self.profile)
    }

    /// The segments of a policy. `auto` keeps as many of the last stages as its limit has room for, the last
    /// one at least.
    pub fn segments(&self, recompute: Recompute) -> Vec<Segment> {
        let stages = self.model.layers + 1;
        let Recompute::Auto(limit) = recompute else { return recompute.segments(stages) };
        let keeping = |kept| Recompute::keep_last(stages, kept);
        let fits = |kept: &usize| self.plan_of(&keeping(*kept)).total <= limit;
        keeping((1..=stages).rev().find(fits).unwrap_or(1))
    }

    /// The memory of training under a policy.
    pub fn plan(&self, recompute: Recompute) -> MemoryPlan {
        self.plan_of(&self.segments(recompute))
    }

    fn plan_of(&self, segments: &[Segment]) -> MemoryPlan {
        let model = self.model_bytes();
        let weights = VALUE * self.model.parameter_count();
        let from = |stage, bytes: u64| if self.zero >= stage { bytes.div_ceil(self.ranks) } else { bytes };
        let largest_stage = model.stages.iter().map(|stage| stage.parameters).max().unwrap_or(0);
        // A stage's gradient until it has left, and on the CPU the messages that it is cut into.
        let leaving = match (self.ranks, self.profile) {
            (1, _) => 0,
            (_, Profile::Cpu { .. }) => 2 * largest_stage,
            (_, Profile::Gpu { .. }) => largest_stage,
        };
        let mut stages = model.stages.clone();
        if self.zero >= 3 && self.ranks > 1 {
            // A stage's weights are there while it runs, and as long as what it computes is kept; those of the
            // next one are on their way.
            for stage in &mut stages {
                stage.kept += stage.parameters;
                stage.forward += stage.parameters;
            }
        }
        let base = MemoryPlan {
            parameters: from(3, weights),
            optimizer: from(1, 2 * weights),
            ema: if self.average { from(1, weights) } else { 0 },
            data: self.parts * model.graph + self.host_bytes(),
            transient: model.held + (self.parts - 1) * packing(self.profile),
            ..Default::default()
        };

        // What is held of a gradient that has been made: a piece, where it leaves at once.
        let cut = self.zero >= 2 || self.zero == 1 && self.accumulate == 1;
        let held = |bytes: u64| if cut { bytes.div_ceil(self.ranks) } else { bytes };
        let walking = |earlier: u64, held: &dyn Fn(u64) -> u64| {
            let walk = walk_bytes(&stages, segments, held);
            MemoryPlan {
                gradients: self.parts * walk.gradients + earlier,
                activations: self.parts * walk.activations,
                transient: base.transient + self.parts * walk.transient + leaving,
                ..base
            }
        };
        let first = walking(0, &held);
        // Later batches add theirs to the sum, a stage at a time.
        let later = if self.accumulate > 1 { walking(held(weights), &|_| 0) } else { base };
        let summing = MemoryPlan { gradients: self.parts * held(weights), ..base };
        // Updated pieces of a stage, on their way to all ranks that have all weights.
        let exchanged = match (self.zero, self.ranks) {
            (_, 1) | (0 | 3.., _) => 0,
            _ => leaving + largest_stage,
        };
        let updating = MemoryPlan {
            gradients: from(1, weights),
            transient: base.transient + 2 * model.largest_parameter + exchanged,
            ..base
        };
        [first, later, summing, updating]
            .map(MemoryPlan::summed)
            .into_iter()
            .max_by_key(|plan| plan.total)
            .unwrap_or(base)
    }

    /// The largest batch, of the same mean size of graphs, whose training fits into `memory` bytes.
    pub fn largest_batch(&self, recompute: Recompute, memory: u64) -> Option<BatchShape> {
        let BatchShape { graphs, atoms, edges } = self.batch;
        let scaled = |atoms_now: u64| {
            let of = |count: u64| (u128::from(count) * u128::from(atoms_now) / u128::from(atoms.max(1))) as u64;
            BatchShape { graphs: of(graphs).max(1), atoms: atoms_now, edges: of(edges) }
        };
        let fits = |atoms| Self { batch: scaled(atoms), ..self.clone() }.plan(recompute).total <= memory;
        largest(fits).map(scaled)
    }

    /// The largest width that fits into `memory` bytes, a multiple of 8.
    pub fn largest_width(&self, recompute: Recompute, memory: u64) -> Option<u64> {
        let fits = |eighth: u64| {
            let model = EgnnConfig { width: 8 * eighth as usize, ..self.model.clone() };
            Self { model, ..self.clone() }.plan(recompute).total <= memory
        };
        largest(fits).map(|eighth| 8 * eighth)
    }

    fn host_bytes(&self) -> u64 {
        let Profile::Cpu { .. } = self.profile else { return 0 };
        let BatchShape { atoms, edges, .. } = self.batch;
        (self.accumulate + self.waiting) * (HOST_EDGE * edges + HOST_ATOM * atoms).div_ceil(self.ranks)
    }
}

/// The largest number from 1 on that fits, where all smaller ones do.
fn largest(fits: impl Fn(u64) -> bool) -> Option<u64> {
    if !fits(1) {
        return None;
    }
    let (mut low, mut high) = (1, 2);
    while fits(high) && high < 1 << 40 {
        (low, high) = (high, 2 * high);
    }
    while high - low > 1 {
        let middle = low.midpoint(high);
        if fits(middle) { low = middle } else { high = middle }
    }
    Some(low)
}
