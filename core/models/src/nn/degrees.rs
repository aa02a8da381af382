//! Linear maps of tensor features: channels mix, components and degrees do not.

use std::sync::Arc;

use isograd_engine::{BlockWeights, Declare, Init, Slot};
use isograd_ops::kernels::KernelBackend;
use isograd_ops::kernels::mixing::Mixing;
use isograd_ops::value::Value;

use super::Harmonics;

/// A linear map for each degree, without biases: one on a tensor would not turn with it.
#[derive(Debug, Clone)]
pub struct DegreeLinear {
    mixing: Arc<Mixing>,
    /// One map below the other, `[degrees in, out]`.
    weight: Slot<2>,
}

impl DegreeLinear {
    /// Maps of degrees 0 to `most`, under a name, that keep the variance of independent channels.
    pub fn declare(
        declare: &mut Declare,
        name: &str,
        harmonics: &Harmonics,
        most: usize,
        channels: [usize; 2],
    ) -> Self {
        let components: Vec<usize> = (0..=most).map(|degree| harmonics.components(degree)).collect();
        let [channels_in, channels_out] = channels;
        let init = Init::Uniform((3.0 / channels_in as f64).sqrt());
        let weight = declare.matrices(name, [components.len() * channels_in, channels_out], channels, init);
        Self { mixing: Arc::new(Mixing::new(&components, channels)), weight }
    }

    /// `[rows, components in]` to `[rows, components out]`.
    pub fn apply<B: KernelBackend>(&self, weights: &BlockWeights<B>, x: &Value<B>) -> Value<B> {
        x.clone().mix(&self.mixing, weights.get(self.weight))
    }
}
