//! Linear maps of tensor features: channels mix, components and degrees do not.

use isograd_engine::{BlockWeights, Declare, Init, Slot};
use isograd_ops::kernels::KernelBackend;
use isograd_ops::value::Value;

use super::Harmonics;

/// A linear map for each degree, without biases: one on a tensor would not turn with it.
#[derive(Debug, Clone)]
pub struct DegreeLinear {
    /// For each degree its components and its weights `[in, out]`.
    maps: Vec<(usize, Slot<2>)>,
}

impl DegreeLinear {
    /// Maps of degrees 0 to `most`, under a name, that keep the variance of independent channels.
    pub fn declare(declare: &mut Declare, name: &str, harmonics: &Harmonics, most: usize, shape: [usize; 2]) -> Self {
        let mut scope = declare.scope(name);
        let init = Init::Uniform((3.0 / shape[0] as f64).sqrt());
        let map = |degree: usize| (harmonics.components(degree), scope.slot(&degree.to_string(), shape, init.clone()));
        Self { maps: (0..=most).map(map).collect() }
    }

    /// `[rows, components in]` to `[rows, components out]`.
    pub fn apply<B: KernelBackend>(&self, weights: &BlockWeights<B>, x: &Value<B>) -> Value<B> {
        let mut start = 0;
        let parts = self.maps.iter().filter(|(components, _)| *components > 0).map(|&(components, map)| {
            let columns = start..start + components * map.shape()[0];
            start = columns.end;
            x.columns(columns).matmul_vectors(weights.get(map))
        });
        Value::join(parts.collect())
    }
}
