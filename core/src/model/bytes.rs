//! How much memory the stages of an EGNN take, from the shapes alone.

use isograd_backends::message::scratch::{MessageShape, Profile, Scratch, VALUE, products, reserve, scratch};

use super::{Basis, EgnnConfig, Envelope, ForceHead, MessageKind};
use crate::engine::StageBytes;

/// The size of a batch.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BatchShape {
    /// B.
    pub graphs: u64,
    /// N.
    pub atoms: u64,
    /// E.
    pub edges: u64,
}

/// Bytes of a model on a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelBytes {
    /// Of each stage.
    pub stages: Vec<StageBytes>,
    /// Of the batch as the stages read it.
    pub graph: u64,
    /// Of what operations hold from their first call on.
    pub held: u64,
    /// Of the largest parameter.
    pub largest_parameter: u64,
}

impl EgnnConfig {
    /// Whether a layer moves coordinates.
    pub(super) fn moves(&self, layer: usize) -> bool {
        self.coordinate_updates && (layer + 1 < self.layers || self.forces == ForceHead::Displacement)
    }

    /// Whether work on edges is done by the fused operation: layers with attention are composed all the same.
    fn fuses(&self, message: MessageKind) -> bool {
        message == MessageKind::Fused && !self.attention
    }

    /// Sizes of the parameters of each stage, in the order of [`super::read`].
    pub fn parameter_sizes(&self) -> Vec<Vec<usize>> {
        let (width, square) = (self.width, self.width * self.width);
        let gate = [square, width, width];
        let mut stages = vec![vec![self.elements.len() * width]];
        for layer in 0..self.layers {
            let mut sizes = vec![square, square, width, self.basis.size() * width, square, width];
            sizes.extend(self.attention.then_some([width, 1]).into_iter().flatten());
            sizes.extend(self.moves(layer).then_some(gate).into_iter().flatten());
            sizes.extend([square, width, square, square, width]);
            stages.push(sizes);
        }
        if let Some(last) = stages.last_mut() {
            for _ in 0..self.heads {
                last.extend([square, width, width, 1]);
                last.extend((self.forces == ForceHead::Direct).then_some(gate).into_iter().flatten());
            }
        }
        stages
    }

    /// Number of scalars in the parameters.
    pub fn parameter_count(&self) -> u64 {
        self.parameter_sizes().iter().flatten().map(|&size| size as u64).sum()
    }

    /// The memory of a batch on a device.
    pub fn bytes(&self, batch: BatchShape, message: MessageKind, profile: Profile) -> ModelBytes {
        let sizes = self.parameter_sizes();
        let parameters = |stage: usize| VALUE * sizes[stage].iter().map(|&size| size as u64).sum::<u64>();
        let embedding = StageBytes {
            parameters: parameters(0),
            output: VALUE * batch.atoms * self.width as u64,
            kept: 0,
            forward: 0,
            backward: parameters(0) + VALUE * batch.atoms * self.width as u64,
        };
        let mut held = 0;
        let layers = (0..self.layers).map(|layer| {
            let layer = LayerShape { config: self, batch, message, profile, layer };
            held = held.max(layer.scratch().held);
            layer.bytes(parameters(layer.layer + 1))
        });
        let mut stages = vec![embedding];
        stages.extend(layers);
        let largest_parameter = VALUE * sizes.iter().flatten().max().map_or(0, |&size| size as u64);
        let rows = if self.fuses(message) { batch.atoms } else { batch.edges };
        let largest_tensor = largest_parameter.max(VALUE * rows * self.width as u64);
        ModelBytes {
            stages,
            graph: self.graph_bytes(batch, profile),
            held: held + products(profile) + reserve(profile, largest_tensor),
            largest_parameter,
        }
    }

    /// Groupings, vectors, and what is made of them once: squares, features, envelope, means.
    fn graph_bytes(&self, batch: BatchShape, profile: Profile) -> u64 {
        let BatchShape { atoms, edges, .. } = batch;
        // Groups of receivers, of senders, and the order of these; on the host too.
        let copies = match profile {
            Profile::Cpu { .. } => 2,
            Profile::Gpu { .. } => 1,
        };
        let envelope = u64::from(self.envelope != Envelope::None);
        let index = copies * (3 * edges + 6 * atoms);
        VALUE * (index + edges * (3 + 1 + self.basis.size() as u64 + envelope) + 2 * atoms)
    }
}

/// What decides the memory of one layer.
struct LayerShape<'a> {
    config: &'a EgnnConfig,
    batch: BatchShape,
    message: MessageKind,
    profile: Profile,
    layer: usize,
}

impl LayerShape<'_> {
    fn last(&self) -> bool {
        self.layer + 1 == self.config.layers
    }

    /// Whether coordinates have moved before.
    fn moved(&self) -> bool {
        self.config.coordinate_updates && self.layer > 0
    }

    fn gate(&self) -> bool {
        self.config.moves(self.layer) || (self.last() && self.config.forces == ForceHead::Direct)
    }

    fn scratch(&self) -> Scratch {
        if !self.config.fuses(self.message) {
            return Scratch::default();
        }
        let shape = MessageShape {
            nodes: self.batch.atoms,
            edges: self.batch.edges,
            width: self.config.width as u64,
            basis: self.config.basis.size() as u64,
            gate: self.gate(),
            geometry: self.moved(),
            graphs: self.batch.graphs,
        };
        scratch(self.profile, shape)
    }

    fn bytes(&self, parameters: u64) -> StageBytes {
        let BatchShape { atoms, edges, .. } = self.batch;
        let width = self.config.width as u64;
        let node = VALUE * atoms * width;
        let coordinates = VALUE * 3 * atoms;
        // What the sum of messages flows through, and for the last layer the readout of the energies.
        let update = 3 * node;
        let readout = if self.last() { 3 * node } else { 0 };
        let (message, message_back) =
            if self.config.fuses(self.message) { self.fused_bytes() } else { self.composed_bytes() };
        let kept = message + update + readout + self.geometry_bytes();
        let displacement = if self.config.coordinate_updates { coordinates } else { 0 };
        let output = if self.last() { coordinates } else { node + displacement };
        // Three moments: at the start, with what the update needs; when messages are differentiated, and
        // what comes after them is gone; when the gradients of all parameters are there.
        let square = VALUE * width * width;
        let (pulls, moved) = self.geometry_back();
        let start = (2 * node + square).max(pulls);
        let middle = (2 * node + 3 * square + message_back).saturating_sub(update + readout);
        let end = (parameters + 4 * node + moved).saturating_sub(update + readout + message);
        StageBytes {
            parameters,
            output,
            kept,
            forward: self.scratch().forward + VALUE * edges,
            backward: start.max(middle).max(end),
        }
    }

    /// What is kept of coordinates that have moved, and of the scalars that move them or make forces.
    fn geometry_bytes(&self) -> u64 {
        let edge = VALUE * self.batch.edges;
        let basis = self.config.basis.size() as u64;
        let moved = match (self.moved(), self.config.basis) {
            (false, _) => 0,
            (true, Basis::SquaredDistance) => 3 + basis,
            (true, Basis::Bessel { .. }) => 3 + 2 + 3 * basis,
        };
        let faded = if self.config.envelope == Envelope::None { 1 } else { 2 };
        let scalars = match (self.gate(), self.config.forces) {
            (false, _) => 0,
            (true, ForceHead::Direct) if self.last() => 3 + faded,
            (true, _) => faded,
        };
        edge * (moved + scalars)
    }

    /// Gradients of scalars and of the vectors they pull along; later, of features and vectors that have moved.
    fn geometry_back(&self) -> (u64, u64) {
        let edge = VALUE * self.batch.edges;
        let pulls = if self.gate() { 8 * edge } else { 0 };
        let moved = if self.moved() { (8 + 2 * self.config.basis.size() as u64) * edge } else { 0 };
        (pulls, moved)
    }

    /// What the fused operation keeps, and what it needs on the way back: beside its own, the gradients of
    /// the rows of receivers and senders.
    fn fused_bytes(&self) -> (u64, u64) {
        let node = VALUE * self.batch.atoms * self.config.width as u64;
        let split = if self.config.heads > 1 && self.last() { 2 * node } else { 0 };
        (2 * node + split, 2 * node + self.scratch().backward)
    }

    /// The same of plain tensor operations, which keep the inputs of each: twice the first linear map's
    /// output and its SiLU, the same of the second, and so on.
    fn composed_bytes(&self) -> (u64, u64) {
        let row = VALUE * self.batch.edges * self.config.width as u64;
        let attention = u64::from(self.config.attention);
        let gate = if self.gate() { 4 } else { 0 };
        (row * (5 + attention + gate), 2 * row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{self, Egnn};
    use burn_flex::Flex;

    fn configs() -> impl Iterator<Item = EgnnConfig> {
        let config = |bits: u32| EgnnConfig {
            elements: vec!["H".parse().unwrap(), "O".parse().unwrap()],
            width: 8,
            layers: 3,
            cutoff: 3.0,
            basis: if bits & 1 == 0 { Basis::SquaredDistance } else { Basis::Bessel { size: 5 } },
            envelope: Envelope::Cosine,
            attention: bits & 2 == 0,
            coordinate_updates: bits & 12 != 0,
            forces: if bits & 4 == 0 { ForceHead::Direct } else { ForceHead::Displacement },
            heads: 1 + (bits & 1) as usize,
            energy_scale: 1.0,
            force_scale: 1.0,
        };
        (0..16).map(config)
    }

    #[test]
    fn sizes_are_those_of_the_model() {
        for config in configs() {
            let model = Egnn::<Flex>::new(&config, 0, &Default::default());
            let of = |stage: &model::EgnnStage<Flex>| -> Vec<usize> {
                model::read(stage).iter().map(|parameter| parameter.shape.iter().product()).collect()
            };
            let expected: Vec<Vec<usize>> = model.stages().iter().map(of).collect();
            assert_eq!(config.parameter_sizes(), expected, "{config:?}");
            assert_eq!(config.parameter_count(), model::count(&model) as u64);
        }
    }
}
