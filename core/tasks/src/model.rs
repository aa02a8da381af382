//! An architecture with readouts on its last block.

use std::sync::Arc;

use isograd_engine::{Declare, Layout, Spec};
use isograd_models::{AnyArchitecture, GraphBackend, GraphBlocks, Inputs, Invalid};
use isograd_ops::device::CpuBackend;
use isograd_ops::value::EdgeWork;

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
}
