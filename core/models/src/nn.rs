//! Pieces that architectures are made of: linear maps, perceptrons, radial features, normalisation, embeddings.

mod distance;
mod edges;
mod embedding;
mod linear;
mod norm;
mod pair_vectors;
mod radial;
mod stack;

pub use distance::{SMALLEST_SQUARE, distance};
pub use edges::Edges;
pub use embedding::Embedding;
pub use linear::{GatePerceptron, Linear, Mlp};
pub use norm::{LayerNorm, Normalisation};
pub use pair_vectors::PairVectors;
pub use radial::{Basis, Envelope, Radial};
pub use stack::stack;
