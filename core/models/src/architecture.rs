//! What an architecture is: hyper-parameters that become blocks over a graph.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use burn::backend::Autodiff;
use burn::tensor::backend::{AutodiffBackend, BackendTypes};
use isograd_engine::{Blocks, Declare};
use isograd_ops::device::CpuBackend;
use isograd_ops::gradient::CotangentBackend;
use isograd_ops::message::MessageBackend;
use isograd_ops::sketch::Sketch;
use isograd_ops::value::EdgeWork;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::Graph;
use crate::nn::Envelope;

/// Why no model can be made: a key of `[model]`, and what was expected.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key} {message}")]
pub struct Invalid {
    /// The key.
    pub key: String,
    /// What is wrong with it, and what was expected.
    pub message: String,
}

impl Invalid {
    /// About a key.
    pub fn new(key: impl Into<String>, message: impl Into<String>) -> Self {
        Self { key: key.into(), message: message.into() }
    }

    /// Checks that a number is from `low` to `high`.
    ///
    /// # Errors
    /// Where it is not.
    pub fn unless_within(key: &str, value: usize, low: usize, high: usize) -> Result<(), Self> {
        if (low..=high).contains(&value) {
            return Ok(());
        }
        Err(Self::new(key, format!("is {value}, expected {low} to {high}")))
    }

    /// Checks what every kind has: a width from 1 to 65,536, 1 to 1024 layers, a cutoff.
    ///
    /// # Errors
    /// The first that is beyond these.
    pub fn unless_sizes(width: usize, layers: usize, cutoff: f64) -> Result<(), Self> {
        Self::unless_within("width", width, 1, 1 << 16)?;
        Self::unless_within("layers", layers, 1, 1024)?;
        Self::unless_cutoff(cutoff)
    }

    /// Checks that displacements are not asked for, which only a model with coordinate updates has.
    ///
    /// # Errors
    /// Where they are.
    pub fn unless_displacement(kind: &str, inputs: &Inputs) -> Result<(), Self> {
        if inputs.vectors == NodeVectors::Displacement {
            let message = format!("is \"displacement\", which kind \"{kind}\" does not offer; expected \"direct\"");
            return Err(Self::new("forces", message));
        }
        Ok(())
    }

    /// Checks that edges fade out at the cutoff.
    ///
    /// # Errors
    /// Where they do not.
    pub fn unless_fading(envelope: Envelope) -> Result<(), Self> {
        if envelope == Envelope::None {
            return Err(Self::new("envelope", "is \"none\", expected \"cosine\" or \"polynomial\""));
        }
        Ok(())
    }

    /// Checks that a cutoff is above 0 and at most 100 angstrom.
    ///
    /// # Errors
    /// Where it is not.
    pub fn unless_cutoff(cutoff: f64) -> Result<(), Self> {
        if cutoff > 0.0 && cutoff <= 100.0 {
            return Ok(());
        }
        Err(Self::new("cutoff", format!("is {cutoff}, expected above 0 and at most 100 angstrom")))
    }
}

/// Vectors per node that a model is asked for: forces, say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeVectors {
    /// None.
    None,
    /// Made by the last block, by a readout of its own for each head.
    Direct,
    /// How far coordinate updates have moved each node.
    Displacement,
}

/// What data and task ask of a model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inputs {
    /// Kinds of nodes, the rows of the embedding: a number for each, which is the atomic number where nodes are atoms.
    pub species: Vec<u32>,
    /// D, the dimensions of space.
    pub dims: usize,
    /// Number of heads: graphs of each have readouts of their own over the shared blocks.
    pub heads: usize,
    /// Vectors per node.
    pub vectors: NodeVectors,
    /// How the work on edges is done; no part of what the model is.
    pub edge_work: EdgeWork,
}

/// What a model reads of the data.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GraphNeeds {
    /// Edges are all pairs of nodes closer than this, in angstrom where nodes are atoms.
    pub cutoff: f64,
    /// Positions of nodes, which no equivariant model reads.
    pub positions: bool,
    /// Velocities of nodes.
    pub velocities: bool,
}

impl GraphNeeds {
    /// Edges within a cutoff, and nothing else.
    pub fn within(cutoff: f64) -> Self {
        Self { cutoff, positions: false, velocities: false }
    }
}

/// What an architecture keeps of its promises, as the equivariance harness is to test it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Promises {
    /// Whether outputs turn with their inputs.
    pub equivariant: bool,
    /// Whether outputs are continuous where an edge comes or goes.
    pub smooth: bool,
}

/// Hyper-parameters of a graph network, and the blocks that they become.
///
/// The blocks put `"nodes"` `[N, width]` into the flow ([`NODES`](crate::NODES)), from which readouts of scalars are made;
/// and, where they are asked for, `"vectors"` `[N, D]` ([`VECTORS`](crate::VECTORS)).
pub trait Architecture:
    Debug + Clone + PartialEq + Default + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// `[model] kind`.
    const KIND: &'static str;

    /// Checks that a model can be made.
    ///
    /// # Errors
    /// The key and what was expected.
    fn validate(&self, inputs: &Inputs) -> Result<(), Invalid>;

    /// What the model reads of the data.
    fn needs(&self) -> GraphNeeds;

    /// Width of the node features that flow out of the last block.
    fn width(&self) -> usize;

    /// What the model promises; by default all there is to promise.
    fn promises(&self) -> Promises {
        Promises { equivariant: true, smooth: true }
    }

    /// Declares the parameters of each block, and makes the blocks. What is declared after that belongs to the last one.
    fn blocks<B: MessageBackend>(&self, inputs: &Inputs, declare: &mut Declare) -> Blocks<B, Graph<B>>;
}

/// The blocks of a model on a backend.
pub type GraphBlocks<B> = Blocks<B, Graph<B>>;

/// A backend, with or without autodiff, on which any architecture can make its blocks.
pub trait GraphBackend: MessageBackend {
    /// The blocks of an architecture that is known at run time only.
    fn blocks(architecture: &dyn AnyArchitecture, inputs: &Inputs, declare: &mut Declare) -> GraphBlocks<Self>;
}

/// A backend without autodiff on which any architecture can be run and trained.
pub trait ModelBackend: GraphBackend {
    /// The same with autodiff.
    type Tracked: GraphBackend
        + BackendTypes<Device = <Self as BackendTypes>::Device>
        + AutodiffBackend<InnerBackend = Self>
        + CotangentBackend;
}

/// [`AnyArchitecture`] has a method for each backend, because a method of a trait object cannot be generic.
macro_rules! any_architecture {
    ($($(#[$condition:meta])* $method:ident, $tracked:ident: $backend:ty;)*) => {
        /// An [`Architecture`] that is known at run time only.
        pub trait AnyArchitecture: Debug + Send + Sync {
            /// See [`Architecture::KIND`].
            fn kind(&self) -> &'static str;
            /// See [`Architecture::validate`].
            ///
            /// # Errors
            /// The key and what was expected.
            fn validate(&self, inputs: &Inputs) -> Result<(), Invalid>;
            /// See [`Architecture::needs`].
            fn needs(&self) -> GraphNeeds;
            /// See [`Architecture::width`].
            fn width(&self) -> usize;
            /// See [`Architecture::promises`].
            fn promises(&self) -> Promises;
            /// The hyper-parameters, by key.
            fn options(&self) -> Json;
            /// The same architecture with other hyper-parameters.
            ///
            /// # Errors
            /// For an unknown key or a value of the wrong type; the message names the key.
            fn with_options(&self, options: Json) -> Result<Arc<dyn AnyArchitecture>, Invalid>;
            /// The architecture itself, for whoever knows its type.
            fn as_any(&self) -> &dyn Any;
            $(
                /// The blocks on one backend.
                $(#[$condition])*
                #[doc(hidden)]
                fn $method(&self, inputs: &Inputs, declare: &mut Declare) -> GraphBlocks<$backend>;
                /// The same with autodiff.
                $(#[$condition])*
                #[doc(hidden)]
                fn $tracked(&self, inputs: &Inputs, declare: &mut Declare) -> GraphBlocks<Autodiff<$backend>>;
            )*
        }

        impl<T: Architecture> AnyArchitecture for T {
            fn kind(&self) -> &'static str {
                T::KIND
            }
            fn validate(&self, inputs: &Inputs) -> Result<(), Invalid> {
                Architecture::validate(self, inputs)
            }
            fn needs(&self) -> GraphNeeds {
                Architecture::needs(self)
            }
            fn width(&self) -> usize {
                Architecture::width(self)
            }
            fn promises(&self) -> Promises {
                Architecture::promises(self)
            }
            fn options(&self) -> Json {
                // Hyper-parameters are numbers, words and tables of them.
                serde_json::to_value(self).unwrap_or_default()
            }
            fn with_options(&self, options: Json) -> Result<Arc<dyn AnyArchitecture>, Invalid> {
                make::<T>(options)
            }
            fn as_any(&self) -> &dyn Any {
                self
            }
            $(
                $(#[$condition])*
                fn $method(&self, inputs: &Inputs, declare: &mut Declare) -> GraphBlocks<$backend> {
                    Architecture::blocks(self, inputs, declare)
                }
                $(#[$condition])*
                fn $tracked(&self, inputs: &Inputs, declare: &mut Declare) -> GraphBlocks<Autodiff<$backend>> {
                    Architecture::blocks(self, inputs, declare)
                }
            )*
        }

        $(
            $(#[$condition])*
            impl GraphBackend for $backend {
                fn blocks(
                    architecture: &dyn AnyArchitecture,
                    inputs: &Inputs,
                    declare: &mut Declare,
                ) -> GraphBlocks<Self> {
                    architecture.$method(inputs, declare)
                }
            }

            $(#[$condition])*
            impl GraphBackend for Autodiff<$backend> {
                fn blocks(
                    architecture: &dyn AnyArchitecture,
                    inputs: &Inputs,
                    declare: &mut Declare,
                ) -> GraphBlocks<Self> {
                    architecture.$tracked(inputs, declare)
                }
            }

            $(#[$condition])*
            impl ModelBackend for $backend {
                type Tracked = Autodiff<$backend>;
            }
        )*
    };
}

any_architecture! {
    on_cpu, on_cpu_tracked: CpuBackend;
    on_shapes, on_shapes_tracked: Sketch;
    #[cfg(feature = "wgpu")]
    on_wgpu, on_wgpu_tracked: isograd_ops::device::WgpuBackend;
    #[cfg(feature = "cuda")]
    on_cuda, on_cuda_tracked: isograd_ops::device::CudaBackend;
    #[cfg(feature = "f64")]
    in_f64, in_f64_tracked: isograd_ops::device::F64Backend;
}

/// An architecture of its hyper-parameters, those that are not left at their defaults.
pub(crate) fn make<T: Architecture>(options: Json) -> Result<Arc<dyn AnyArchitecture>, Invalid> {
    let made: Result<T, _> = serde_json::from_value(options);
    made.map(|made| Arc::new(made) as Arc<dyn AnyArchitecture>).map_err(|error| Invalid::new("", error.to_string()))
}
