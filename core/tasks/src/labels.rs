//! The labels of a batch, apart from its inputs.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use isograd_data::{Sizes, batch_order};
use isograd_models::floats;
use serde::{Deserialize, Serialize};

use crate::{Kind, Target};

/// How many numbers a batch, or the micro-batches of a step together, have of each target: what losses are divided by.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LabelCounts(pub Vec<usize>);

impl std::iter::Sum for LabelCounts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, next| {
            let longest = sum.0.len().max(next.0.len());
            let of = |counts: &Self, k: usize| counts.0.get(k).copied().unwrap_or(0);
            Self((0..longest).map(|k| of(&sum, k) + of(&next, k)).collect())
        })
    }
}

/// Labels of one target.
#[derive(Debug, Clone, Default, PartialEq)]
struct HostColumn {
    /// Numbers of each graph, node or edge, zero where there is no label.
    values: Vec<f32>,
    /// What errors of each are multiplied by: one, or of an extensive target one over the number of nodes, of
    /// a normalised one over its scale; zero where there is no label.
    weights: Vec<f32>,
    /// What the cost of each is multiplied by; nothing where it is one of all.
    costs: Vec<f32>,
    columns: usize,
}

/// The labels of a batch in host memory, target by target.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HostLabels {
    targets: Vec<HostColumn>,
    counts: Vec<usize>,
}

impl HostLabels {
    /// Joins the labels of graphs of these sizes and these heads, in the order that a batch holds them.
    /// `labels` has for each graph what [`ModelInfo::labels`](crate::ModelInfo::labels) returns; rows with a NaN are no labels.
    ///
    /// # Panics
    /// If lengths differ, or a label has another number of entries than its target says.
    pub fn new(
        targets: &[Target],
        dims: usize,
        sizes: &[Sizes],
        heads: &[usize],
        labels: &[Vec<Option<Vec<f64>>>],
    ) -> Self {
        Self::weighted(targets, dims, sizes, heads, labels, &vec![1.0; labels.len()])
    }

    /// The same with what each graph counts in the loss.
    ///
    /// # Panics
    /// As [`HostLabels::new`].
    pub fn weighted(
        targets: &[Target],
        dims: usize,
        sizes: &[Sizes],
        heads: &[usize],
        labels: &[Vec<Option<Vec<f64>>>],
        costs: &[f64],
    ) -> Self {
        assert!(sizes.len() == labels.len() && heads.len() == labels.len(), "HostLabels: graphs and labels");
        assert_eq!(costs.len(), labels.len(), "HostLabels: graphs and what they count");
        let alike = costs.iter().all(|cost| *cost == 1.0);
        let order = batch_order(heads.iter().copied());
        let mut counts = vec![0; targets.len()];
        let column = |(place, target): (usize, &Target)| {
            let columns = target.label_columns(dims);
            let mut own = HostColumn { columns, ..Default::default() };
            for &graph in &order {
                let rows = target.rows(sizes[graph]);
                let per = if target.extensive { 1.0 / sizes[graph].atoms as f32 } else { 1.0 };
                let weight = per * target.share() as f32;
                if !alike {
                    own.costs.extend(std::iter::repeat_n(costs[graph] as f32, rows));
                }
                match &labels[graph][place] {
                    Some(values) => {
                        assert_eq!(values.len(), rows * columns, "HostLabels: numbers of a label of {}", target.name);
                        for row in values.chunks_exact(columns) {
                            let is_label = row.iter().all(|value| !value.is_nan());
                            counts[place] += if is_label { columns } else { 0 };
                            own.values.extend(row.iter().map(|&value| if is_label { value as f32 } else { 0.0 }));
                            own.weights.push(if is_label { weight } else { 0.0 });
                        }
                    }
                    None => {
                        own.values.extend(std::iter::repeat_n(0.0, rows * columns));
                        own.weights.extend(std::iter::repeat_n(0.0, rows));
                    }
                }
            }
            own
        };
        let targets = targets.iter().enumerate().map(column).collect();
        Self { targets, counts }
    }

    /// How many numbers there are of each target.
    pub fn counts(&self) -> LabelCounts {
        LabelCounts(self.counts.clone())
    }
}

/// The labels of a batch on a device, target by target.
#[derive(Debug, Clone)]
pub struct Labels<B: Backend> {
    pub(crate) targets: Vec<Column<B>>,
}

/// Labels of one target.
#[derive(Debug, Clone)]
pub(crate) struct Column<B: Backend> {
    /// `[rows, columns]`.
    pub(crate) values: Tensor<B, 2>,
    /// `[rows, 1]`.
    pub(crate) weights: Tensor<B, 2>,
    /// What costs are multiplied by, `[rows, 1]`; `None` where it is one of all.
    pub(crate) costs: Option<Tensor<B, 2>>,
    /// What the target is.
    pub(crate) kind: Kind,
}

impl<B: Backend> Labels<B> {
    /// Copies labels to a device.
    pub fn new(targets: &[Target], labels: &HostLabels, device: &B::Device) -> Self {
        let column = |(own, target): (&HostColumn, &Target)| Column {
            values: floats(&own.values, [own.weights.len(), own.columns], device),
            weights: floats(&own.weights, [own.weights.len(), 1], device),
            costs: (!own.costs.is_empty()).then(|| floats(&own.costs, [own.costs.len(), 1], device)),
            kind: target.kind,
        };
        Self { targets: labels.targets.iter().zip(targets).map(column).collect() }
    }

    /// The numbers of a target, by its position, `[graphs, nodes or edges, columns]`; zero where there is no label.
    ///
    /// # Panics
    /// If there is no such target.
    pub fn values(&self, target: usize) -> Tensor<B, 2> {
        self.targets[target].values.clone()
    }

    /// What errors of a target are multiplied by, `[graphs, nodes or edges, 1]`: zero where there is no label, else one, of an
    /// extensive target one over the number of nodes, of a normalised one over its scale.
    ///
    /// # Panics
    /// If there is no such target.
    pub fn weights(&self, target: usize) -> Tensor<B, 2> {
        self.targets[target].weights.clone()
    }
}
