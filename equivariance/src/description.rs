//! What a model says of itself: what it reads, what it returns and how that transforms.

use serde::{Deserialize, Serialize};

/// The arithmetic of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// Single.
    F32,
    /// Double.
    F64,
}

impl Precision {
    /// The distance from one to the next number.
    pub fn epsilon(self) -> f64 {
        match self {
            Self::F32 => f64::from(f32::EPSILON),
            Self::F64 => f64::EPSILON,
        }
    }

    /// No relative error above this passes, whatever the noise floor: 1e-4 and 1e-10. For a single exception see
    /// [`Row::ill_conditioned`](crate::Row::ill_conditioned).
    pub fn limit(self) -> f64 {
        match self {
            Self::F32 => 1e-4,
            Self::F64 => 1e-10,
        }
    }
}

/// How an output transforms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Values of the whole system that do not change.
    Scalar,
    /// Values of each node, which move only with their node: `[N, C]`.
    NodeScalar,
    /// A vector of the whole system, `[D]`: rotates, does not move with a translation.
    Vector,
    /// A vector of each node, `[N, D]`.
    NodeVector,
    /// A position of each node, `[N, D]`: rotates, and moves with a translation.
    NodePoint,
    /// A symmetric tensor of the whole system, `[D, D]`, as a stress.
    Tensor,
}

impl Kind {
    /// Whether there is a value per node.
    pub fn per_node(self) -> bool {
        matches!(self, Self::NodeScalar | Self::NodeVector | Self::NodePoint)
    }
}

/// One output of a model.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Its name in the report.
    pub name: String,
    /// How it transforms.
    pub kind: Kind,
    /// Whether it doubles when the system doubles; meaningful for outputs of the whole system.
    pub extensive: bool,
}

/// A claim: forces are the negative gradient of an energy, as a potential has it for each of its heads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForcesOf {
    /// The output that is derived, a scalar.
    pub energy: String,
    /// The output that is its negative gradient, a vector of each node.
    pub forces: String,
}

/// A claim: a stress is the derivative of an energy by the strain of a periodic system, over the volume
/// of its cell.
///
/// The strain is symmetric, and positions and lattice vectors both become `x (1 + strain)`. A cell
/// under tension has a positive stress: its energy grows when it is stretched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StressOf {
    /// The output that is derived, a scalar.
    pub energy: String,
    /// The output that is its derivative over the volume, a tensor that does not grow with the system.
    pub stress: String,
}

/// What a model reads and returns, and what it claims beside equivariance.
///
/// ```
/// use isograd_equivariance::{Description, Precision};
///
/// let potential = Description::new(3, Precision::F32)
///     .species(&[1, 6, 8])
///     .cutoff(5.0)
///     .spacing(1.0)
///     .periodic()
///     .extensive_scalar("energy")
///     .node_vector("forces")
///     .intensive_tensor("stress")
///     .conservative("energy", "forces")
///     .stress_of("energy", "stress");
/// assert_eq!(potential.outputs.len(), 3);
/// ```
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Description {
    /// D.
    pub dimensions: usize,
    /// Of the model's arithmetic.
    pub precision: Precision,
    /// Kinds of nodes that it knows.
    pub species: Vec<u32>,
    /// K, invariant features of each node.
    pub features: usize,
    /// How many arrays of vectors it reads.
    pub vectors: usize,
    /// Whether it reads cells.
    pub periodic: bool,
    /// Whether several systems are evaluated together; else batches are not checked.
    pub batched: bool,
    /// The distance beyond which nodes do not see each other. None: no such distance.
    pub cutoff: Option<f64>,
    /// The smallest distance between nodes of ordinary inputs.
    pub spacing: f64,
    /// Fewest and most nodes of ordinary inputs.
    pub nodes: (usize, usize),
    /// Sizes of translations, growing.
    pub translations: Vec<f64>,
    /// Outputs, in the order in which the model returns them.
    pub outputs: Vec<Output>,
    /// Pairs of outputs where forces are the negative gradient of an energy.
    pub conservative: Vec<ForcesOf>,
    /// Pairs of outputs where a stress is the derivative of an energy by the strain, over the volume.
    pub stress_of: Vec<StressOf>,
    /// Outputs without a net force: their sum over nodes is zero.
    pub zero_sum: Vec<String>,
    /// Outputs without a net torque: their torque about the centroid is zero in systems that are not periodic.
    pub zero_torque: Vec<String>,
}

impl Description {
    /// A model without outputs, of one species, with 2 to 8 nodes at distances from 1 on.
    ///
    /// # Panics
    /// Without dimensions.
    pub fn new(dimensions: usize, precision: Precision) -> Self {
        assert!(dimensions > 0, "Description: at least one dimension");
        Self {
            dimensions,
            precision,
            species: vec![0],
            features: 0,
            vectors: 0,
            periodic: false,
            batched: false,
            cutoff: None,
            spacing: 1.0,
            nodes: (2, 8),
            translations: vec![1.0, 100.0],
            outputs: Vec::new(),
            conservative: Vec::new(),
            stress_of: Vec::new(),
            zero_sum: Vec::new(),
            zero_torque: Vec::new(),
        }
    }

    /// Kinds of nodes.
    pub fn species(mut self, species: &[u32]) -> Self {
        assert!(!species.is_empty(), "Description: at least one species");
        self.species = species.to_vec();
        self
    }

    /// Number of invariant features of each node.
    pub fn features(mut self, features: usize) -> Self {
        self.features = features;
        self
    }

    /// Number of arrays of vectors, one vector per node each.
    pub fn vectors(mut self, vectors: usize) -> Self {
        self.vectors = vectors;
        self
    }

    /// The model reads cells.
    pub fn periodic(mut self) -> Self {
        self.periodic = true;
        self
    }

    /// The model evaluates several systems together.
    pub fn batched(mut self) -> Self {
        self.batched = true;
        self
    }

    /// The distance beyond which nodes do not see each other.
    pub fn cutoff(mut self, cutoff: f64) -> Self {
        self.cutoff = Some(cutoff);
        self
    }

    /// The smallest distance between nodes of ordinary inputs.
    pub fn spacing(mut self, spacing: f64) -> Self {
        self.spacing = spacing;
        self
    }

    /// Fewest and most nodes of ordinary inputs.
    pub fn nodes(mut self, fewest: usize, most: usize) -> Self {
        assert!((1..=most).contains(&fewest), "Description: from {fewest} to {most} nodes");
        self.nodes = (fewest, most);
        self
    }

    /// Sizes of translations, growing.
    pub fn translations(mut self, sizes: &[f64]) -> Self {
        self.translations = sizes.to_vec();
        self
    }

    /// One more output.
    pub fn output(mut self, name: &str, kind: Kind, extensive: bool) -> Self {
        self.outputs.push(Output { name: name.to_owned(), kind, extensive });
        self
    }

    /// A scalar of the whole system that doubles when the system does, as an energy.
    pub fn extensive_scalar(self, name: &str) -> Self {
        self.output(name, Kind::Scalar, true)
    }

    /// A scalar of the whole system that does not grow with it, as a band gap.
    pub fn intensive_scalar(self, name: &str) -> Self {
        self.output(name, Kind::Scalar, false)
    }

    /// A scalar of each node, as a charge.
    pub fn node_scalar(self, name: &str) -> Self {
        self.output(name, Kind::NodeScalar, true)
    }

    /// A vector of the whole system that doubles when the system does, as a dipole.
    pub fn extensive_vector(self, name: &str) -> Self {
        self.output(name, Kind::Vector, true)
    }

    /// A vector of each node, as a force.
    pub fn node_vector(self, name: &str) -> Self {
        self.output(name, Kind::NodeVector, true)
    }

    /// A position of each node.
    pub fn node_point(self, name: &str) -> Self {
        self.output(name, Kind::NodePoint, true)
    }

    /// A symmetric tensor of the whole system that does not grow with it, as a stress.
    pub fn intensive_tensor(self, name: &str) -> Self {
        self.output(name, Kind::Tensor, false)
    }

    /// A symmetric tensor that doubles when the system does, as a virial.
    pub fn extensive_tensor(self, name: &str) -> Self {
        self.output(name, Kind::Tensor, true)
    }

    /// Adds an energy of the whole and a force per node, minus its gradient: conservative, of zero sum and torque.
    pub fn potential(self, energy: &str, forces: &str) -> Self {
        let outputs = self.extensive_scalar(energy).node_vector(forces);
        outputs.conservative(energy, forces).zero_sum(forces).zero_torque(forces)
    }

    /// The model claims that `forces` is the negative gradient of `energy`: the row "forces = -dE/dx".
    /// One claim for each head.
    pub fn conservative(mut self, energy: &str, forces: &str) -> Self {
        self.conservative.push(ForcesOf { energy: energy.to_owned(), forces: forces.to_owned() });
        self
    }

    /// The model claims that `stress` is the derivative of `energy` by the strain, over the volume: the
    /// row "stress = dE/dstrain / V" of systems that repeat along all lattice vectors. [`StressOf`] has
    /// the signs. One claim for each head.
    pub fn stress_of(mut self, energy: &str, stress: &str) -> Self {
        self.stress_of.push(StressOf { energy: energy.to_owned(), stress: stress.to_owned() });
        self
    }

    /// The model claims that a vector of the nodes sums to zero: the row "no net force".
    pub fn zero_sum(mut self, output: &str) -> Self {
        self.zero_sum.push(output.to_owned());
        self
    }

    /// The model claims that a vector of the nodes has no torque: the row "no net torque".
    pub fn zero_torque(mut self, output: &str) -> Self {
        self.zero_torque.push(output.to_owned());
        self
    }

    /// The place of an output.
    pub(crate) fn index(&self, name: &str) -> Option<usize> {
        self.outputs.iter().position(|output| output.name == name)
    }
}
