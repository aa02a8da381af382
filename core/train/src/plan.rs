//! How much memory training will take, before anything of it is there.

use isograd_data::{BATCHES_OF_WORKER, pack};
use isograd_engine::zero::Zero;
use isograd_engine::{Layout, OptimizerKind, Recompute, Rule, Segment, Spec};
use isograd_models::GraphSizes;
use isograd_ops::profile::{Profile, VALUE, packing};
use isograd_tasks::Model;
use serde::{Deserialize, Serialize};

use crate::Prepared;
use crate::config::Config;
use crate::sketch::{Sketched, Step, sketch};

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
    /// Bytes of the order of an epoch, and of where its batches end.
    pub order: u64,
    /// How weights are changed.
    pub optimizer: OptimizerKind,
    /// Whether weights are averaged.
    pub average: bool,
    /// R.
    pub ranks: u64,
    /// What ranks own a piece of.
    pub zero: Zero,
    /// Whether training validates in between, on the thread that it was called on, which then holds what it packs for products.
    pub validates: bool,
}

/// Bytes on each rank at the moment at which they are most; they add up to the total.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemoryPlan {
    /// Weights.
    pub parameters: u64,
    /// Gradients that have been made.
    pub gradients: u64,
    /// Moments of the optimizer.
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

/// Bytes of a sample in the order of an epoch.
const PLACE: usize = size_of::<usize>();

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
            order: 0,
            optimizer: OptimizerKind::Adamw,
            average: false,
            ranks: 1,
            zero: Zero::Off,
            validates: false,
        }
    }

    /// What a config asks for, of a model and of batches of this size.
    pub fn new(config: &Config, model: Model, batch: GraphSizes, profile: Profile) -> Self {
        let Config { train, parallel, .. } = config;
        Self {
            parts: train.parts as u64,
            accumulate: train.accumulate as u64,
            waiting: (train.workers * BATCHES_OF_WORKER) as u64,
            optimizer: train.optimizer.kind,
            average: train.ema_decay > 0.0,
            ranks: parallel.ranks as u64,
            zero: parallel.zero,
            validates: true,
            layout: model.layout(1).freeze(|path| train.is_frozen(path)),
            ..Self::of_step(model, batch, profile)
        }
    }

    /// The same, of prepared data: the largest batch of the first epoch stands for all.
    pub fn of_data(config: &Config, prepared: &Prepared, profile: Profile) -> Self {
        let sizes = &prepared.training.sizes;
        let order = prepared.mixture.order(config.train.seed, 0);
        let shape = |members: &[usize]| GraphSizes {
            graphs: members.len() as u64,
            nodes: members.iter().map(|&k| sizes[k].atoms as u64).sum(),
            edges: members.iter().map(|&k| sizes[k].edges as u64).sum(),
        };
        let batches = pack(order, sizes, config.train.budget());
        let largest = batches.iter().map(shape).max_by_key(|shape| shape.edges).unwrap_or_default();
        let order = (PLACE * (sizes.len() + batches.len())) as u64;
        Self { order, ..Self::new(config, prepared.model.clone(), largest, profile) }
    }

    /// Number of scalars in the model.
    pub fn parameter_count(&self) -> u64 {
        self.layout.count() as u64
    }

    /// How many moments the optimizer keeps of a parameter.
    fn moments_of(&self, parameter: &Spec) -> u64 {
        Rule::of(parameter, self.optimizer).moments() as u64
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
        let keeping = |kept: u64| Recompute::keep_last(blocks, kept as usize);
        let bytes = |kept| self.plan_of(&keeping(kept)).map(|plan| plan.total);
        keeping(largest(blocks as u64, limit, bytes).unwrap_or(1))
    }

    /// The memory of training under a policy; `None` where the model cannot tell how much it takes.
    pub fn plan(&self, recompute: Recompute) -> Option<MemoryPlan> {
        self.plan_of(&self.segments(recompute))
    }

    fn plan_of(&self, segments: &[Segment]) -> Option<MemoryPlan> {
        // What is held of a gradient that has been made: a piece, where it leaves at once.
        let cut = self.zero.shards_gradients() || self.zero.shards_states() && self.accumulate == 1;
        let held = |bytes: u64| if cut { bytes.div_ceil(self.ranks) } else { bytes };
        let gathered = self.zero.shards_weights() && self.ranks > 1;
        let weights = VALUE * self.parameter_count();
        let sharded = |is_cut: bool, bytes: u64| if is_cut { bytes.div_ceil(self.ranks) } else { bytes };
        let parameters = |block: usize| self.layout.sizes(block).into_iter().sum::<usize>() as u64;
        let largest_block = VALUE * (0..self.layout.blocks()).map(parameters).max().unwrap_or(0);
        let largest_parameter = VALUE * self.layout.parameters().iter().map(Spec::size).max().unwrap_or(0) as u64;
        // What a parameter is updated with, a matrix as a whole with what it turns it by.
        let largest_matrices = self.layout.parameters().iter().filter(|spec| self.moments_of(spec) == 1);
        let largest_matrices = VALUE * largest_matrices.map(Spec::size).max().unwrap_or(0) as u64;
        let update = (2 * largest_parameter).max(MATRIX_COPIES * largest_matrices);
        let moments = |spec: &Spec| VALUE * self.moments_of(spec) * spec.size() as u64;
        let moments: u64 = self.layout.parameters().iter().map(moments).sum();
        let run = |earlier: bool, collected: &dyn Fn(u64) -> u64| {
            // Moments and averages, gradients of earlier batches, and weights that are gathered.
            let each = |spec: &Spec| {
                let bytes = VALUE * spec.size() as u64;
                let states = (0..self.moments_of(spec) + u64::from(self.average))
                    .map(move |_| sharded(self.zero.shards_states(), bytes));
                states.chain(earlier.then(|| held(bytes))).chain(gathered.then(|| sharded(true, bytes)))
            };
            let step = Step {
                model: &self.model,
                layout: &self.layout,
                sizes: self.part(),
                profile: self.profile,
                gathered,
                beside: self.layout.parameters().iter().flat_map(each).collect(),
                update,
            };
            sketch(&step, segments, collected)
        };
        let first = run(false, &held)?;
        // A block's gradient until it has left, and on the CPU the messages that it is cut into.
        let leaving = match (self.ranks, self.profile) {
            (1, _) => 0,
            (_, Profile::Cpu { .. }) => 2 * largest_block,
            (_, Profile::Gpu { .. }) => largest_block,
        };
        // A rank that is alone computes on a thread of the pool.
        let is_one_of_all = self.ranks == 1 && !self.validates && first.held_by_all_and_caller;
        let spared = if is_one_of_all { packing(self.profile) } else { 0 };
        let base = MemoryPlan {
            parameters: sharded(self.zero.shards_weights(), weights),
            optimizer: sharded(self.zero.shards_states(), moments),
            ema: if self.average { sharded(self.zero.shards_states(), weights) } else { 0 },
            data: self.parts * first.graph + self.host_bytes(),
            transient: first.held + (self.parts - 1) * packing(self.profile) - spared,
            ..Default::default()
        };

        let walking = |earlier: u64, Sketched { most, .. }: Sketched| MemoryPlan {
            gradients: self.parts * most.gradients + earlier,
            activations: self.parts * most.kept,
            transient: base.transient + self.parts * most.passing + leaving,
            ..base
        };
        // Later batches add theirs to the sum, a block at a time.
        let later = if self.accumulate > 1 { Some(run(true, &|_| 0)?) } else { None };
        let pages = [Some(first), later].into_iter().flatten();
        let pages = pages.map(|one| one.reserved + (self.parts - 1) * one.most.total()).max().unwrap_or(0);
        let first = walking(0, first);
        let later = later.map_or(base, |later| walking(held(weights), later));
        let summing = MemoryPlan { gradients: self.parts * held(weights), ..base };
        // Updated pieces of a block, on their way to all ranks that have all weights.
        let exchanges = self.ranks > 1 && self.zero.shards_states() && !self.zero.shards_weights();
        let exchanged = if exchanges { leaving + largest_block } else { 0 };
        // Where matrices are cut, what all ranks turn of a block.
        let turned =
            if self.ranks > 1 && self.zero.shards_states() && largest_matrices > 0 { largest_block } else { 0 };
        let updating = MemoryPlan {
            gradients: sharded(self.zero.shards_states(), weights),
            transient: base.transient + update + exchanged + turned,
            ..base
        };
        let most =
            [first, later, summing, updating].map(MemoryPlan::summed).into_iter().max_by_key(|plan| plan.total)?;
        // A pool's pages have room that nothing fills.
        Some(MemoryPlan { transient: most.transient + pages.saturating_sub(most.total), ..most }.summed())
    }

    /// The largest batch, of the same mean size of graphs, whose training fits into `memory` bytes.
    pub fn largest_batch(&self, recompute: Recompute, memory: u64) -> Option<GraphSizes> {
        let GraphSizes { graphs, nodes, edges } = self.batch;
        let scaled = |nodes_now: u64| {
            let of = |count: u64| (u128::from(count) * u128::from(nodes_now) / u128::from(nodes.max(1))) as u64;
            GraphSizes { graphs: of(graphs).max(1), nodes: nodes_now, edges: of(edges) }
        };
        let bytes = |nodes| Self { batch: scaled(nodes), ..self.clone() }.plan(recompute).map(|plan| plan.total);
        largest(1 << 40, memory, bytes).map(scaled)
    }

    /// The largest width that fits into `memory` bytes, a multiple of 8; `None` also of a model without a width.
    pub fn largest_width(&self, recompute: Recompute, memory: u64) -> Option<u64> {
        let bytes = |eighth: u64| {
            let model = self.model.with_option("width", 8 * eighth)?;
            let frozen = |path: &str| self.layout.parameters().iter().any(|own| own.frozen && own.path == path);
            let layout = model.layout(1).freeze(frozen);
            Self { model, layout, ..self.clone() }.plan(recompute).map(|plan| plan.total)
        };
        largest(1 << 40, memory, bytes).map(|eighth| 8 * eighth)
    }

    fn host_bytes(&self) -> u64 {
        let Profile::Cpu { .. } = self.profile else { return 0 };
        let GraphSizes { nodes, edges, .. } = self.batch;
        let batch = (HOST_EDGE * edges + HOST_ATOM * nodes).div_ceil(self.ranks);
        (self.accumulate + self.waiting) * batch + self.order
    }
}

/// Tensors of the size of a matrix that are there while it is turned, at most.
const MATRIX_COPIES: u64 = 6;

/// The largest number from 1 to `most` of which so many bytes fit, where all smaller ones do: to one part in 512, which is
/// less than a plan knows.
fn largest(most: u64, limit: u64, bytes: impl Fn(u64) -> Option<u64>) -> Option<u64> {
    let bytes = |number| bytes(number).map_or(f64::INFINITY, |bytes| bytes as f64);
    let limit = limit as f64;
    let (mut low, mut high) = ((1, bytes(1)), (most + 1, f64::INFINITY));
    if low.1 > limit {
        return None;
    }
    let mut beyond = false;
    loop {
        let step = 1 + low.0 / 512;
        if high.0 <= low.0 + step {
            return Some(low.0);
        }
        let next = if high.1.is_infinite() {
            // Not known yet how far it goes.
            (16 * low.0).min(low.0.midpoint(high.0))
        } else if high.0 > 4 * low.0 {
            ((low.0 as f64 * high.0 as f64).sqrt()) as u64
        } else if beyond {
            low.0 + step
        } else {
            // Where a straight line through both ends meets the limit.
            low.0 + ((limit - low.1) / (high.1 - low.1) * (high.0 - low.0) as f64) as u64
        };
        beyond = !beyond;
        let next = next.clamp(low.0 + 1, high.0 - 1);
        let found = bytes(next);
        if found <= limit { low = (next, found) } else { high = (next, found) }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    fn counted_by(asked: &Cell<u32>, bytes: fn(u64) -> Option<u64>) -> impl Fn(u64) -> Option<u64> {
        move |number| {
            asked.set(asked.get() + 1);
            bytes(number)
        }
    }

    #[test]
    fn the_largest_that_fits_is_found_in_few_steps() {
        let asked = &Cell::new(0);
        let found = largest(1 << 40, 1_000_000, counted_by(asked, |x| Some(10 * x + 7))).unwrap();
        assert!((99_800..=99_999).contains(&found), "{found}");
        assert_eq!(largest(1 << 40, 10_000, counted_by(asked, |x| Some(x * x))), Some(100));
        assert_eq!(largest(7, 10_000, counted_by(asked, |x| Some(x * x))), Some(7));
        assert_eq!(largest(1 << 40, 50, counted_by(asked, |x| (x < 4).then_some(x))), Some(3));
        assert_eq!(largest(7, 5, counted_by(asked, |_| Some(6))), None);
        assert!(asked.get() < 80, "{asked:?}");
    }
}
