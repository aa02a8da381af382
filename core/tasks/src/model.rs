//! An architecture with readouts on its last block.

use std::sync::Arc;

use isograd_backends::device::CpuBackend;
use isograd_backends::profile::{Profile, VALUE, products, reserve};
use isograd_backends::value::EdgeWork;
use isograd_engine::{BlockBytes, Declare, Layout, Spec};
use isograd_models::{AnyArchitecture, GraphBackend, GraphBlocks, GraphSizes, Inputs, Invalid};

use crate::readout::WithReadouts;
use crate::{Derivative, Readout};

/// An architecture, what data and task ask of it, and the readouts of the targets: everything about a model but its
/// weights.
#[derive(Debug, Clone)]
pub struct Model {
    architecture: Arc<dyn AnyArchitecture>,
    inputs: Inputs,
    readouts: Vec<Readout>,
}

impl Model {
    /// Checks that there is such a model.
    ///
    /// # Errors
    /// The key of `[model]` and what was expected.
    pub fn new(
        architecture: Arc<dyn AnyArchitecture>,
        inputs: Inputs,
        readouts: Vec<Readout>,
    ) -> Result<Self, Invalid> {
        Invalid::unless_within("heads", inputs.heads, 1, 1024)?;
        architecture.validate(&inputs)?;
        Ok(Self { architecture, inputs, readouts })
    }

    /// The architecture.
    pub fn architecture(&self) -> &Arc<dyn AnyArchitecture> {
        &self.architecture
    }

    /// What data and task ask of it.
    pub fn inputs(&self) -> &Inputs {
        &self.inputs
    }

    /// The same model with the work on edges done otherwise.
    #[must_use]
    pub fn with_edge_work(mut self, work: EdgeWork) -> Self {
        self.inputs.edge_work = work;
        self
    }

    /// The same model in a space of `dims` dimensions.
    ///
    /// # Errors
    /// As [`Model::new`].
    pub fn with_dims(self, dims: usize) -> Result<Self, Invalid> {
        Self::new(self.architecture, Inputs { dims, ..self.inputs }, self.readouts)
    }

    /// The same model with one hyper-parameter changed; `None` where there is no such model.
    pub fn with_option(&self, key: &str, value: u64) -> Option<Self> {
        let mut options = self.architecture.options();
        *options.get_mut(key)? = value.into();
        let architecture = self.architecture.with_options(options).ok()?;
        Self::new(architecture, self.inputs.clone(), self.readouts.clone()).ok()
    }

    /// The blocks on a backend. The last one's flow has an entry for each target.
    pub fn blocks<B: GraphBackend>(&self) -> GraphBlocks<B> {
        self.build(&mut Declare::new())
    }

    /// The targets that are derivatives of an energy.
    pub fn derivatives(&self) -> Vec<Derivative> {
        let of = |readout: &Readout| match readout {
            Readout::Derivative(derivative) => Some(derivative.clone()),
            Readout::Perceptron { .. } | Readout::Vectors { .. } => None,
        };
        self.readouts.iter().filter_map(of).collect()
    }

    /// The declared parameters of each block.
    pub fn parameters(&self) -> Vec<Vec<Spec>> {
        let mut declare = Declare::new();
        // Which backend makes no difference to what is declared.
        let _: GraphBlocks<CpuBackend> = self.build(&mut declare);
        declare.finish()
    }

    /// Where the parameters are on `ranks` ranks.
    pub fn layout(&self, ranks: usize) -> Layout {
        Layout::new(self.parameters(), ranks)
    }

    fn build<B: GraphBackend>(&self, declare: &mut Declare) -> GraphBlocks<B> {
        let mut blocks = B::blocks(&*self.architecture, &self.inputs, declare);
        if let Some(trunk) = blocks.pop() {
            let (width, heads) = (self.architecture.width(), self.inputs.heads);
            blocks.push(Box::new(WithReadouts::declare(trunk, &self.readouts, width, heads, declare)));
        }
        blocks
    }

    /// How much memory the model takes on a batch; `None` where its architecture cannot tell, and where targets are
    /// derivatives.
    pub fn bytes(&self, layout: &Layout, sizes: GraphSizes, profile: Profile) -> Option<ModelBytes> {
        if !self.derivatives().is_empty() {
            return None;
        }
        let blocks = self.architecture.bytes(&self.inputs, layout, sizes, profile)?;
        let largest = layout.parameters().iter().map(Spec::size).max().unwrap_or(0) as u64;
        let largest_parameter = VALUE * largest;
        let rows = if self.inputs.edge_work == EdgeWork::Fused { sizes.nodes } else { sizes.edges };
        let largest_tensor = largest_parameter.max(VALUE * rows * self.architecture.width() as u64);
        let held = self.architecture.held_bytes(&self.inputs, sizes, profile);
        Some(ModelBytes {
            blocks,
            graph: self.graph_bytes(sizes, profile),
            held: held + products(profile) + reserve(profile, largest_tensor),
            largest_parameter,
        })
    }

    /// Groupings, vectors, and what is made of them once.
    fn graph_bytes(&self, sizes: GraphSizes, profile: Profile) -> u64 {
        let GraphSizes { nodes, edges, .. } = sizes;
        // Groups of receivers, of senders, and the order of these; on the host too.
        let copies = match profile {
            Profile::Cpu { .. } => 2,
            Profile::Gpu { .. } => 1,
        };
        let index = copies * (3 * edges + 6 * nodes);
        let [edge, node] = self.architecture.graph_bytes();
        VALUE * (index + edges * self.inputs.dims as u64 + 2 * nodes) + edge * edges + node * nodes
    }
}

/// Bytes of a model on a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelBytes {
    /// Of each block.
    pub blocks: Vec<BlockBytes>,
    /// Of the batch as the blocks read it.
    pub graph: u64,
    /// Of what operations hold from their first call on.
    pub held: u64,
    /// Of the largest parameter.
    pub largest_parameter: u64,
}
