//! Blocks, weights and gradients on shapes, for a walk that tells how much memory it takes; see
//! [`sketch`](mod@isograd_ops::sketch).

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use isograd_ops::profile::VALUE;
use isograd_ops::sketch::{Meter, Sketch, SketchDevice};

use crate::{Block, BlockWeights, Blocks, Flow, Layout, Result, Sink, Spec, WeightSource};

/// Blocks after each of which a meter counts what is there as kept.
pub fn settling<B: Backend, C: 'static>(blocks: Blocks<B, C>, meter: &Arc<Meter>) -> Blocks<B, C> {
    let settling = |block| -> Box<dyn Block<B, C>> { Box::new(Settling { block, meter: meter.clone() }) };
    blocks.into_iter().map(settling).collect()
}

struct Settling<B: Backend, C> {
    block: Box<dyn Block<B, C>>,
    meter: Arc<Meter>,
}

impl<B: Backend, C> Block<B, C> for Settling<B, C> {
    fn forward(&self, weights: &BlockWeights<B>, context: &C, flow: Flow<B>) -> Flow<B> {
        let flow = self.block.forward(weights, context, flow);
        self.meter.settle();
        flow
    }
}

/// Weights without values.
#[derive(Debug)]
pub struct SketchedWeights<'a> {
    layout: &'a Layout,
    device: SketchDevice,
    place: Place,
}

/// Where weights are.
#[derive(Debug)]
enum Place {
    /// At hand.
    Here(Vec<Vec<Tensor<Sketch, 1>>>),
    /// With all ranks: those of a block are there while it needs them, and those of the next one are on their way.
    Gathered(Mutex<Ahead>),
}

#[derive(Debug, Default)]
struct Ahead {
    order: VecDeque<usize>,
    next: Vec<Tensor<Sketch, 1>>,
}

impl<'a> SketchedWeights<'a> {
    /// Weights that are all at hand.
    pub fn here(layout: &'a Layout, device: &SketchDevice) -> Self {
        let mut own = Self::gathered(layout, device);
        own.place = Place::Here((0..layout.blocks()).map(|block| own.made(block)).collect());
        own
    }

    /// Weights that are gathered from all ranks when a block is due.
    pub fn gathered(layout: &'a Layout, device: &SketchDevice) -> Self {
        Self { layout, device: device.clone(), place: Place::Gathered(Mutex::default()) }
    }

    fn made(&self, block: usize) -> Vec<Tensor<Sketch, 1>> {
        self.layout.sizes(block).into_iter().map(|size| Tensor::empty([size], &self.device)).collect()
    }
}

impl WeightSource<Sketch> for SketchedWeights<'_> {
    fn begin(&self, order: Vec<usize>) {
        if let Place::Gathered(ahead) = &self.place {
            let next = order.first().map_or_else(Vec::new, |&first| self.made(first));
            *ahead.lock().unwrap_or_else(PoisonError::into_inner) = Ahead { order: order.into(), next };
        }
    }

    fn weights(&self, block: usize) -> Result<Vec<Tensor<Sketch, 1>>> {
        match &self.place {
            Place::Here(blocks) => Ok(blocks[block].clone()),
            Place::Gathered(ahead) => {
                let mut ahead = ahead.lock().unwrap_or_else(PoisonError::into_inner);
                ahead.order.pop_front();
                let next = ahead.order.front().map_or_else(Vec::new, |&next| self.made(next));
                Ok(std::mem::replace(&mut ahead.next, next))
            }
        }
    }

    fn parameters(&self, block: usize) -> &[Spec] {
        self.layout.parameters_of(block)
    }
}

/// Takes gradients without values, and holds on to as many bytes as a sink would.
#[derive(Debug)]
pub struct SketchedSink<'a, H> {
    meter: &'a Meter,
    held: H,
}

impl<'a, H: Fn(u64) -> u64> SketchedSink<'a, H> {
    /// Of the bytes of a gradient, `held` is what the sink goes on to hold.
    pub fn new(meter: &'a Meter, held: H) -> Self {
        Self { meter, held }
    }
}

impl<H: Fn(u64) -> u64> Sink<Sketch> for SketchedSink<'_, H> {
    fn block(&mut self, _index: usize, gradients: Vec<Tensor<Sketch, 1>>) {
        for gradient in gradients {
            let bytes = VALUE * gradient.dims()[0] as u64;
            drop(gradient);
            self.meter.collect((self.held)(bytes));
        }
    }

    fn idle(&mut self, _index: usize) {}
}
