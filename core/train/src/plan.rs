//! How much memory training will take, before anything of it is there.

use isograd_backends::profile::{Profile, VALUE, packing};
use isograd_data::{BATCHES_OF_WORKER, epoch_order, pack};
use isograd_engine::zero::Zero;
use isograd_engine::{Layout, Recompute, Segment, walk_bytes};
use isograd_models::GraphSizes;
use isograd_tasks::{Model, ModelBytes};
use serde::{Deserialize, Serialize};

use crate::Prepared;
use crate::config::Config;

/// What decides how much memory training takes.
#[derive(Debug, Clone)]
pub struct MemoryWorkload {
    /// The model.
    pub model: Model,
    /// Its parameters on one rank.
    pub layout: Layout,
    /// What of a device decides how much memory operations take.
    pub profile: Profile,
    /// The batch of a step, of all ranks together.
    pub batch: GraphSizes,
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
    /// What ranks own a piece of.
    pub zero: Zero,
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

impl MemoryWorkload {
    /// One step on one rank, of one batch in one part, without averages.
    pub fn of_step(model: Model, batch: GraphSizes, profile: Profile) -> Self {
        let layout = model.layout(1);
        Self {
            model,
            layout,
            profile,
            batch,
            parts: 1,
            accumulate: 1,
            waiting: 0,
            average: false,
            ranks: 1,
            zero: Zero::Off,
        }
    }

    /// What a config asks for, of a model and of batches of this size.
    pub fn new(config: &Config, model: Model, batch: GraphSizes, profile: Profile) -> Self {
        let Config { train, parallel, .. } = config;
        Self {
            parts: train.parts as u64,
            accumulate: train.accumulate as u64,
            waiting: (train.workers * BATCHES_OF_WORKER) as u64,
            average: train.ema_decay > 0.0,
            ranks: parallel.ranks as u64,
            zero: parallel.zero,
            ..Self::of_step(model, batch, profile)
        }
    }

    /// The same, of prepared data: the largest batch of the first epoch stands for all.
    pub fn of_data(config: &Config, prepared: &Prepared, profile: Profile) -> Self {
        let sizes = &prepared.training.sizes;
        let order = epoch_order(config.train.seed, 0, sizes.len());
        let shape = |members: Vec<usize>| GraphSizes {
            graphs: members.len() as u64,
            nodes: members.iter().map(|&k| sizes[k].atoms as u64).sum(),
            edges: members.iter().map(|&k| sizes[k].edges as u64).sum(),
        };
        let batches = pack(&order, sizes, config.train.budget()).into_iter().map(shape);
        let largest = batches.max_by_key(|shape| shape.edges).unwrap_or_default();
        Self::new(config, prepared.model.clone(), largest, profile)
    }

    /// Number of scalars in the model.
    pub fn parameter_count(&self) -> u64 {
        self.layout.count() as u64
    }

    /// The part of a batch that a rank differentiates at once.
    fn part(&self) -> GraphSizes {
        let share = |count: u64| count.div_ceil(self.ranks * self.parts);
        let GraphSizes { graphs, nodes, edges } = self.batch;
        GraphSizes { graphs: share(graphs), nodes: share(nodes), edges: share(edges) }
    }

    /// The segments of a policy. `auto` keeps as many of the last blocks as its limit has room for, the last
    /// one at least, and no more than that where the model cannot tell how much it takes.
    pub fn segments(&self, recompute: Recompute) -> Vec<Segment> {
        let blocks = self.layout.blocks();
        let Recompute::Auto(limit) = recompute else { return recompute.segments(blocks) };
        let keeping = |kept| Recompute::keep_last(blocks, kept);
        let fits = |kept: &usize| self.plan_of(&keeping(*kept)).is_some_and(|plan| plan.total <= limit);
        keeping((1..=blocks).rev().find(fits).unwrap_or(1))
    }

    /// The memory of training under a policy; `None` where the model cannot tell how much it takes.
    pub fn plan(&self, recompute: Recompute) -> Option<MemoryPlan> {
        self.plan_of(&self.segments(recompute))
    }

    fn plan_of(&self, segments: &[Segment]) -> Option<MemoryPlan> {
        let ModelBytes { mut blocks, graph, held, largest_parameter } =
            self.model.bytes(&self.layout, self.part(), self.profile)?;
        let weights = VALUE * self.parameter_count();
        let sharded = |is_cut: bool, bytes: u64| if is_cut { bytes.div_ceil(self.ranks) } else { bytes };
        let largest_block = blocks.iter().map(|block| block.parameters).max().unwrap_or(0);
        // A block's gradient until it has left, and on the CPU the messages that it is cut into.
        let leaving = match (self.ranks, self.profile) {
            (1, _) => 0,
            (_, Profile::Cpu { .. }) => 2 * largest_block,
            (_, Profile::Gpu { .. }) => largest_block,
        };
        if self.zero.shards_weights() && self.ranks > 1 {
            // A block's weights are there while it runs, and as long as what it computes is kept; those of the
            // next one are on their way.
            for block in &mut blocks {
                block.kept += block.parameters;
                block.forward += block.parameters;
            }
        }
        let base = MemoryPlan {
            parameters: sharded(self.zero.shards_weights(), weights),
            optimizer: sharded(self.zero.shards_states(), 2 * weights),
            ema: if self.average { sharded(self.zero.shards_states(), weights) } else { 0 },
            data: self.parts * graph + self.host_bytes(),
            transient: held + (self.parts - 1) * packing(self.profile),
            ..Default::default()
        };

        // What is held of a gradient that has been made: a piece, where it leaves at once.
        let cut = self.zero.shards_gradients() || self.zero.shards_states() && self.accumulate == 1;
        let held = |bytes: u64| if cut { bytes.div_ceil(self.ranks) } else { bytes };
        let walking = |earlier: u64, held: &dyn Fn(u64) -> u64| {
            let walk = walk_bytes(&blocks, segments, held);
            MemoryPlan {
                gradients: self.parts * walk.gradients + earlier,
                activations: self.parts * walk.activations,
                transient: base.transient + self.parts * walk.transient + leaving,
                ..base
            }
        };
        let first = walking(0, &held);
        // Later batches add theirs to the sum, a block at a time.
        let later = if self.accumulate > 1 { walking(held(weights), &|_| 0) } else { base };
        let summing = MemoryPlan { gradients: self.parts * held(weights), ..base };
        // Updated pieces of a block, on their way to all ranks that have all weights.
        let exchanges = self.ranks > 1 && self.zero.shards_states() && !self.zero.shards_weights();
        let exchanged = if exchanges { leaving + largest_block } else { 0 };
        let updating = MemoryPlan {
            gradients: sharded(self.zero.shards_states(), weights),
            transient: base.transient + 2 * largest_parameter + exchanged,
            ..base
        };
        [first, later, summing, updating].map(MemoryPlan::summed).into_iter().max_by_key(|plan| plan.total)
    }

    /// The largest batch, of the same mean size of graphs, whose training fits into `memory` bytes.
    pub fn largest_batch(&self, recompute: Recompute, memory: u64) -> Option<GraphSizes> {
        let GraphSizes { graphs, nodes, edges } = self.batch;
        let scaled = |nodes_now: u64| {
            let of = |count: u64| (u128::from(count) * u128::from(nodes_now) / u128::from(nodes.max(1))) as u64;
            GraphSizes { graphs: of(graphs).max(1), nodes: nodes_now, edges: of(edges) }
        };
        let fits = |nodes| {
            let plan = Self { batch: scaled(nodes), ..self.clone() }.plan(recompute);
            plan.is_some_and(|plan| plan.total <= memory)
        };
        largest(fits).map(scaled)
    }

    /// The largest width that fits into `memory` bytes, a multiple of 8; `None` also of a model without a width.
    pub fn largest_width(&self, recompute: Recompute, memory: u64) -> Option<u64> {
        let fits = |eighth: u64| {
            let plan = self.model.with_option("width", 8 * eighth).and_then(|model| {
                let layout = model.layout(1);
                Self { model, layout, ..self.clone() }.plan(recompute)
            });
            plan.is_some_and(|plan| plan.total <= memory)
        };
        largest(fits).map(|eighth| 8 * eighth)
    }

    fn host_bytes(&self) -> u64 {
        let Profile::Cpu { .. } = self.profile else { return 0 };
        let GraphSizes { nodes, edges, .. } = self.batch;
        (self.accumulate + self.waiting) * (HOST_EDGE * edges + HOST_ATOM * nodes).div_ceil(self.ranks)
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
