//! Random tensors, how far two lists of numbers are apart, and the GPUs to test on.
#![allow(dead_code, clippy::print_stderr, reason = "each test program uses its own part, and says what it skips")]

use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use isograd_ops::device::{CpuBackend, DeviceError, DeviceName, OpenDevice, open};
use isograd_ops::memory::MeasuredBackend;

/// Numbers from a small generator of our own, in (-1, 1).
pub(crate) struct Random(pub u64);

impl Random {
    pub(crate) fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as f64 / (1u64 << 30) as f64 - 1.0
    }

    pub(crate) fn tensor<B: Backend, const R: usize>(&mut self, shape: [usize; R], size: f64) -> Tensor<B, R> {
        self.on(&Default::default(), shape, size)
    }

    /// The same numbers on a device.
    pub(crate) fn on<B: Backend, const R: usize>(
        &mut self,
        device: &B::Device,
        shape: [usize; R],
        size: f64,
    ) -> Tensor<B, R> {
        let values: Vec<f64> = (0..shape.iter().product()).map(|_| size * self.next()).collect();
        Tensor::from_data(TensorData::new(values, shape).convert::<B::FloatElem>(), device)
    }
}

pub(crate) fn numbers<B: Backend, const R: usize>(tensor: Tensor<B, R>) -> Vec<f64> {
    if tensor.shape().num_elements() == 0 {
        // Burn cannot read what is empty from CUDA.
        return Vec::new();
    }
    tensor.into_data().convert::<f64>().into_vec().unwrap()
}

/// Largest difference over the largest value.
pub(crate) fn error(found: &[f64], expected: &[f64]) -> f64 {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(1e-12, |most: f64, x| most.max(x.abs()));
    found.iter().zip(expected).fold(0.0, |most: f64, (a, b)| {
        assert!(a.is_finite());
        most.max((a - b).abs())
    }) / size
}

/// Work that is generic over the backend.
pub(crate) trait RunOn {
    type Output;

    fn run<B: MeasuredBackend<FloatElem = f32>>(self, device: B::Device) -> Self::Output;
}

/// Runs work on the backend and device that a name selects.
pub(crate) fn dispatch<W: RunOn>(name: &DeviceName, work: W) -> Result<W::Output, DeviceError> {
    Ok(match open(name)? {
        OpenDevice::Cpu(device) => work.run::<CpuBackend>(device),
        #[cfg(feature = "wgpu")]
        OpenDevice::Wgpu(device) => work.run::<isograd_ops::device::WgpuBackend>(device),
        #[cfg(feature = "cuda")]
        OpenDevice::Cuda(device) => work.run::<isograd_ops::device::CudaBackend>(device),
        other => panic!("no backend for {other:?}"),
    })
}

/// Runs work on every GPU that this program is built for and that is there. wgpu may not be missing
/// where `ISOGRAD_REQUIRE_WGPU` is set.
pub(crate) fn on_each_gpu<W: RunOn<Output = ()>>(work: impl Fn() -> W) {
    for name in ["wgpu", "cuda"] {
        match dispatch(&name.parse().unwrap(), work()) {
            Ok(()) => {}
            Err(error) if name == "wgpu" && std::env::var_os("ISOGRAD_REQUIRE_WGPU").is_some() => panic!("{error}"),
            Err(error) => eprintln!("skipped: {error}"),
        }
    }
}
