//! Pieces that architectures are made of: linear maps, perceptrons, radial features, harmonics, normalisation, embeddings.

mod degrees;
mod directions;
mod distance;
mod edges;
mod embedding;
mod harmonics;
mod linear;
mod norm;
mod pair_vectors;
mod radial;
mod stack;
mod vector_readout;

pub use degrees::DegreeLinear;
pub use directions::Directions;
pub use distance::{SMALLEST_SQUARE, distance};
pub use edges::{Edges, TensorEdges};
pub use embedding::Embedding;
pub use harmonics::Harmonics;
pub use linear::{GatePerceptron, Linear, Mlp};
pub use norm::{LayerNorm, Normalisation};
pub use pair_vectors::PairVectors;
pub use radial::{Basis, Envelope, Radial};
pub use stack::stack;
pub use vector_readout::VectorReadout;
