//! A backend that computes shapes and bytes, and no numbers: what runs on it takes no time and no memory, and tells how
//! much it would take elsewhere.
//!
//! A tensor is a shape and a share of a buffer that a [`Meter`] counts. Views share buffers, operations write in place
//! where the real backends do, and a buffer is given back when its last share is dropped. Blocks, Burn's autodiff and the
//! walk run on `Autodiff<Sketch>` as they are: what they keep, in which order they let go, and what going back allocates
//! are therefore theirs, and no model says a word about its memory.
//!
//! Numbers cannot be had. Where somebody asks for them, zeros are given and the meter is told ([`Meter::refuse`]): what
//! depends on numbers has no sketch.

mod activations;
mod bools;
mod convolution;
mod floats;
mod ints;
mod kernels;
mod meter;
mod modules;
mod pool;
mod quantized;
mod tensor;
mod tiles;

use std::sync::Arc;

use burn::tensor::backend::{Backend, BackendTypes, DTypeUsage, DTypeUsageSet, Device, DeviceId, DeviceOps};
use burn::tensor::ops::TransactionOps;
use burn::tensor::{DType, Int, Tensor};

use crate::index::{EdgeIndex, Grouping, HostGrouping};

pub use meter::{Meter, Moment};
pub use quantized::QuantizedSketch;
pub use tensor::Sketched;

/// The backend.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sketch;

/// Where sketches lie: on a meter. Tensors of the default device are counted nowhere.
#[derive(Debug, Clone, Default)]
pub struct SketchDevice(Option<Arc<Meter>>);

impl SketchDevice {
    /// Of a meter.
    pub fn new(meter: &Arc<Meter>) -> Self {
        Self(Some(meter.clone()))
    }
}

impl PartialEq for SketchDevice {
    /// Tensors of all meters go together, because those of the default device do with any.
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Device for SketchDevice {
    fn from_id(_id: DeviceId) -> Self {
        Self::default()
    }

    fn to_id(&self) -> DeviceId {
        DeviceId::new(0, 0)
    }
}

impl DeviceOps for SketchDevice {}

impl BackendTypes for Sketch {
    type Device = SketchDevice;
    type FloatTensorPrimitive = Sketched;
    type FloatElem = f32;
    type IntTensorPrimitive = Sketched;
    type IntElem = i32;
    type BoolTensorPrimitive = Sketched;
    type BoolElem = bool;
    type QuantizedTensorPrimitive = QuantizedSketch;
}

impl Backend for Sketch {
    fn name(_device: &Self::Device) -> String {
        "sketch".into()
    }

    fn seed(_device: &Self::Device, _seed: u64) {}

    fn device_count(_type_id: u16) -> usize {
        1
    }

    fn dtype_usage(_device: &Self::Device, _dtype: DType) -> DTypeUsageSet {
        DTypeUsage::Storage | DTypeUsage::Arithmetic
    }
}

impl TransactionOps<Sketch> for Sketch {}

impl Grouping<Sketch> {
    /// So many rows in so many groups; `sorted` where rows are in the order of their groups.
    pub fn sized(rows: usize, groups: usize, sorted: bool, device: &SketchDevice) -> Self {
        let integers = |length: usize| Tensor::<Sketch, 1, Int>::empty([length], device);
        Self {
            group_of: integers(rows),
            offsets: integers(groups + 1),
            order: (!sorted).then(|| integers(rows)),
            host: Arc::new(HostGrouping::default()),
        }
    }
}

impl EdgeIndex<Sketch> {
    /// So many edges between so many nodes.
    pub fn sized(edges: usize, nodes: usize, device: &SketchDevice) -> Self {
        let grouping = |sorted| Grouping::sized(edges, nodes, sorted, device);
        Self { receivers: grouping(true), senders: grouping(false) }
    }
}
