//! The operation on the CPU: tiles of edges that stay in the cache, matrix products by the `gemm`
//! crate, everything else in vectorised loops, lanes of tiles side by side on rayon's threads.
//!
//! Edges are cut into lanes, and lanes into tiles, by their number alone. Each lane sums into buffers
//! of its own (the receivers and senders that it touches, and the weights), which are added in the
//! order of the lanes. So no atomics are needed, and results are the same to the bit for any number of
//! threads.

mod backward;
mod dual;
mod forward;
mod matrix;
mod sums;

use std::cell::RefCell;
use std::ops::Range;

use burn::tensor::DType;
use burn_flex::Flex;
use rayon::prelude::*;

use self::dual::DualHost;
use self::forward::First;
use super::{
    DualGradients, DualInputs, DualOutputs, EdgeIndex, MessageBackend, MessageGradients, MessageInputs, MessageOutputs,
    Wanted, reference, scratch, sizes,
};
use crate::host::Values;
use crate::simd;

impl MessageBackend for Flex {
    fn message(edges: &EdgeIndex<Self>, inputs: &MessageInputs<Self>) -> MessageOutputs<Self> {
        match Host::new(edges, inputs) {
            Some(host) => forward::message(&host),
            None => reference::message(edges, inputs),
        }
    }

    fn message_backward(
        edges: &EdgeIndex<Self>,
        inputs: &MessageInputs<Self>,
        outputs: MessageOutputs<Self>,
        wanted: Wanted,
    ) -> MessageGradients<Self> {
        match Host::new(edges, inputs) {
            Some(host) => backward::message_backward(&host, outputs, wanted),
            None => reference::message_backward(edges, inputs, outputs, wanted),
        }
    }

    fn message_dual(edges: &EdgeIndex<Self>, inputs: &DualInputs<Self>) -> DualOutputs<Self> {
        match DualHost::new(edges, inputs) {
            Some(host) => dual::forward::message_dual(&host),
            None => reference::message_dual(edges, inputs),
        }
    }

    fn message_dual_backward(
        edges: &EdgeIndex<Self>,
        inputs: &DualInputs<Self>,
        outputs: DualOutputs<Self>,
        wanted: Wanted,
    ) -> DualGradients<Self> {
        match DualHost::new(edges, inputs) {
            Some(host) => dual::backward::message_dual_backward(&host, outputs, wanted),
            None => reference::message_dual_backward(edges, inputs, outputs, wanted),
        }
    }
}

struct HostGate {
    weight: Values,
    bias: Values,
    readout: Values,
}

/// The inputs of the operation in host memory.
struct Host<'a> {
    nodes: usize,
    receivers: &'a [u32],
    senders: &'a [u32],
    width: usize,
    basis: usize,
    receiver: Values,
    sender: Values,
    features: Values,
    envelope: Option<Values>,
    edge_weight: Values,
    weight: Values,
    bias: Values,
    gate: Option<HostGate>,
}

impl<'a> Host<'a> {
    /// `None` where there are no edges, or the numbers are not in single precision.
    fn new(edges: &'a EdgeIndex<Flex>, inputs: &MessageInputs<Flex>) -> Option<Self> {
        let [_, count, basis, width] = sizes(edges, inputs);
        if count == 0 || inputs.receiver.dtype() != DType::F32 {
            return None;
        }
        Some(Self {
            nodes: edges.nodes(),
            receivers: &edges.receivers.host.group_of,
            senders: &edges.senders.host.group_of,
            width,
            basis,
            receiver: Values::new(&inputs.receiver),
            sender: Values::new(&inputs.sender),
            features: Values::new(&inputs.features),
            envelope: inputs.envelope.as_ref().map(Values::new),
            edge_weight: Values::new(&inputs.edge_weight),
            weight: Values::new(&inputs.weight),
            bias: Values::new(&inputs.bias),
            gate: inputs.gate.as_ref().map(|gate| HostGate {
                weight: Values::new(&gate.weight),
                bias: Values::new(&gate.bias),
                readout: Values::new(&gate.readout),
            }),
        })
    }

    fn first(&self) -> First<'_> {
        First { receiver: self.receiver.get(), sender: self.sender.get(), features: Some(self.features.get()) }
    }

    fn count(&self) -> usize {
        self.receivers.len()
    }

    /// Edges of a tile.
    fn tile(&self) -> usize {
        scratch::rows(self.width)
    }

    /// The lanes, as ranges of edges that begin at a tile.
    fn lanes(&self) -> Vec<Range<usize>> {
        let count = self.count();
        let length = scratch::lane(count, self.width);
        (0..count).step_by(length).map(|start| start..(start + length).min(count)).collect()
    }

    fn envelope(&self, edge: usize) -> f32 {
        self.envelope.as_ref().map_or(1.0, |envelope| envelope.get()[edge])
    }

    /// First and one past the last receiver of a lane.
    fn receivers(&self, lane: &Range<usize>) -> Range<usize> {
        self.receivers[lane.start] as usize..self.receivers[lane.end - 1] as usize + 1
    }

    /// Smallest and one past the largest sender of a lane.
    fn senders(&self, lane: &Range<usize>) -> Range<usize> {
        let senders = &self.senders[lane.clone()];
        let first = senders.iter().min().map_or(0, |&node| node as usize);
        first..senders.iter().max().map_or(0, |&node| node as usize + 1)
    }
}

/// A lane in tiles of as many edges.
fn tiles(lane: &Range<usize>, tile: usize) -> impl Iterator<Item = Range<usize>> + use<> {
    let end = lane.end;
    lane.clone().step_by(tile).map(move |start| start..(start + tile).min(end))
}

/// Rows of one lane that are later added into the rows of all.
struct Part {
    range: Range<usize>,
    values: Vec<f32>,
}

impl Part {
    fn new(range: Range<usize>, width: usize) -> Self {
        Self { values: vec![0.0; range.len() * width], range }
    }

    fn row(&mut self, node: usize, width: usize) -> &mut [f32] {
        &mut self.values[(node - self.range.start) * width..][..width]
    }
}

/// Adds the rows of parts into those of all, to each in the order of the parts.
fn add_parts<'a>(all: &mut [f32], parts: impl Iterator<Item = &'a Part>, width: usize) {
    let parts: Vec<&Part> = parts.collect();
    let block = (BLOCK_VALUES / width.max(1)).max(1);
    all.par_chunks_mut(block * width.max(1)).enumerate().for_each(|(k, rows)| {
        let nodes = k * block..k * block + rows.len() / width;
        for part in &parts {
            let (start, end) = (part.range.start.max(nodes.start), part.range.end.min(nodes.end));
            if start < end {
                let own = &part.values[(start - part.range.start) * width..(end - part.range.start) * width];
                simd::add(&mut rows[(start - nodes.start) * width..(end - nodes.start) * width], own);
            }
        }
    });
}

/// Values of rows that are added up as one task.
const BLOCK_VALUES: usize = 1 << 13;

/// Does work on lanes on rayon's own threads, even where there is only one lane: the caller, and there may be
/// many, needs no row buffers then.
fn on_pool<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    rayon::scope(|_| work())
}

thread_local! {
    /// Row buffers of a tile, kept from call to call.
    static SCRATCH: RefCell<Vec<f32>> = const { RefCell::new(Vec::new()) };
}

/// Gives `N` row buffers of `size` values each, whose content is whatever was there before.
fn with_scratch<const N: usize, T>(size: usize, work: impl FnOnce([&mut [f32]; N]) -> T) -> T {
    SCRATCH.with_borrow_mut(|scratch| {
        if scratch.len() < N * size {
            scratch.resize(N * size, 0.0);
        }
        let mut rest = scratch.as_mut_slice();
        work(std::array::from_fn(|_| {
            let (buffer, others) = std::mem::take(&mut rest).split_at_mut(size);
            rest = others;
            buffer
        }))
    })
}
