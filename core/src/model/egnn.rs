//! The whole model: embedding, layers, readouts. What it computes is in its stages.

use burn::module::{Module, Param};
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::dense::{Mlp, uniform};
use super::layer::{Gate, Layer};
use super::{EgnnConfig, ForceHead, MessageKind};

/// What a model says about a batch.
#[derive(Debug, Clone)]
pub struct Prediction<B: Backend> {
    /// Energy of each graph in eV, without reference energies, `[B]`.
    pub energies: Tensor<B, 1>,
    /// Force on each atom in eV/angstrom, `[N, 3]`.
    pub forces: Tensor<B, 2>,
}

/// The readouts of one head.
#[derive(Module, Debug)]
pub struct Head<B: Backend> {
    /// Energy of an atom from its features, `[F]` to one value.
    pub energy: Mlp<B>,
    /// phi_F, where forces are direct.
    pub force: Option<Gate<B>>,
}

/// An E(n)-equivariant graph neural network with energy and force heads.
///
/// ```
/// use burn_flex::Flex;
/// use isograd_core::graph::{GraphBatch, HostBatch, HostGraph};
/// use isograd_core::model::{Basis, Egnn, EgnnConfig, Envelope, ForceHead};
/// use isograd_structure::{Geometry, neighbour_list};
///
/// let config = EgnnConfig {
///     elements: vec!["H".parse().unwrap()],
///     width: 8,
///     layers: 2,
///     cutoff: 3.0,
///     basis: Basis::Bessel { size: 4 },
///     envelope: Envelope::Cosine,
///     attention: false,
///     coordinate_updates: false,
///     forces: ForceHead::Direct,
///     heads: 1,
///     energy_scale: 1.0,
///     force_scale: 1.0,
/// };
/// let geometry = Geometry { positions: vec![[0.0; 3], [0.0, 0.0, 0.74]], ..Default::default() };
/// let edges = neighbour_list(&geometry, config.cutoff).unwrap();
/// let graph = HostGraph { species: vec![0, 0], edges, ..Default::default() };
/// let device = Default::default();
/// let batch = GraphBatch::<Flex>::new(&HostBatch::new(&[0], &[graph]), config.elements.len(), &device);
/// let prediction = Egnn::new(&config, 1, &device).forward(&batch);
/// assert_eq!(prediction.energies.dims(), [1]);
/// assert_eq!(prediction.forces.dims(), [2, 3]);
/// ```
#[derive(Module, Debug)]
pub struct Egnn<B: Backend> {
    /// First features of each element, `[elements, F]`.
    pub embedding: Param<Tensor<B, 2>>,
    /// The L layers.
    pub layers: Vec<Layer<B>>,
    /// The readouts, one per head.
    pub heads: Vec<Head<B>>,
    /// Hyper-parameters.
    #[module(skip)]
    pub config: EgnnConfig,
    /// How the work on edges is done; no part of what the model is.
    #[module(skip)]
    pub message: MessageKind,
}

impl<B: Backend> Egnn<B> {
    /// A model with fresh weights, the same for the same seed on every device.
    ///
    /// # Panics
    /// If the config does not [`validate`](EgnnConfig::validate).
    pub fn new(config: &EgnnConfig, seed: u64, device: &B::Device) -> Self {
        if let Err((key, message)) = config.validate() {
            panic!("EgnnConfig: {key} {message}");
        }
        let rng = &mut ChaCha8Rng::seed_from_u64(seed);
        Self {
            // Normal rows of unit variance, as torch.nn.Embedding; a uniform of that variance here.
            embedding: uniform([config.elements.len(), config.width], 3f64.sqrt(), rng, device),
            layers: (0..config.layers).map(|layer| Layer::new(config, config.moves(layer), rng, device)).collect(),
            heads: (0..config.heads).map(|_| Head::new(config, rng, device)).collect(),
            config: config.clone(),
            message: MessageKind::default(),
        }
    }
}

impl<B: Backend> Head<B> {
    fn new(config: &EgnnConfig, rng: &mut impl Rng, device: &B::Device) -> Self {
        let width = config.width;
        Self {
            energy: Mlp::new([width, width, 1], true, rng, device),
            force: (config.forces == ForceHead::Direct).then(|| Gate::new(width, rng, device)),
        }
    }
}
