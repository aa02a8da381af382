//! Predictions and errors of a model over a data set, in batches within the budget.

use std::collections::HashMap;
use std::sync::Arc;

use burn::tensor::Tensor;
use isograd_data::{Budget, Loader, pack};
use isograd_engine::WeightSource;
use isograd_engine::zero::View;
use isograd_models::ModelBackend;
use isograd_tasks::{BySource, Label, Metric, Model, Network, Tally, Target, Trained};
use serde::{Deserialize, Serialize};

use crate::{Batch, Dataset, Error, Result, Sample, SampleLabels};

/// A model and where its weights are, ready to predict.
pub struct Predictor<'a, B: ModelBackend> {
    network: Network<B>,
    weights: Weights<'a, B>,
}

/// Where weights are.
enum Weights<'a, B: ModelBackend> {
    /// In training.
    View(View<'a, B>),
    /// At hand.
    Whole(Box<dyn WeightSource<B> + 'a>),
}

impl<'a, B: ModelBackend> Predictor<'a, B> {
    /// With the weights of a model in training.
    pub fn of_view(model: &Model, view: View<'a, B>) -> Self {
        Self { network: Network::new(model), weights: Weights::View(view) }
    }

    /// With those of a trained model.
    pub fn of_trained(trained: &'a Trained<B>) -> Self {
        let Trained { model, layout, weights, .. } = trained;
        let weights = Weights::Whole(Box::new(layout.view(weights)));
        Self { network: Network::new(model), weights }
    }

    /// What the model says of the graphs of a batch, in their order in it: for each an entry per target.
    ///
    /// # Errors
    /// Where weights cannot be had.
    pub fn predict(&self, batch: &Batch, targets: &[Target], device: &B::Device) -> Result<Vec<Vec<Vec<f64>>>> {
        let mut flow = match &self.weights {
            Weights::View(view) => self.network.predict(&*view.source(), &batch.graphs, device)?,
            Weights::Whole(weights) => self.network.predict(&**weights, &batch.graphs, device)?,
        };
        let mut found: Vec<Vec<Vec<f64>>> = vec![Vec::new(); batch.graphs.graphs()];
        for target in targets {
            let values = numbers(flow.need(&target.name).into_tensor());
            let columns = target.columns(batch.graphs.dims);
            let mut rest = values.as_slice();
            let graphs = batch.graphs.sizes().zip(&batch.graphs.volumes);
            for (found, (sizes, volume)) in found.iter_mut().zip(graphs) {
                let (own, others) = rest.split_at(target.rows(sizes) * columns);
                rest = others;
                // Without a volume there is no stress.
                let is_there = target.label != Label::Stress || volume.is_some();
                found.push(if is_there { own.to_vec() } else { Vec::new() });
            }
        }
        Ok(found)
    }

    /// Takes part in what others predict.
    ///
    /// # Errors
    /// As [`Self::predict`].
    pub fn idle(&self) -> Result<()> {
        match &self.weights {
            Weights::View(view) if view.is_cut() => Ok(self.network.predict_idle(&*view.source())?),
            _ => Ok(()),
        }
    }
}

/// The numbers of a tensor in double precision.
fn numbers<B: ModelBackend>(tensor: Tensor<B, 2>) -> Vec<f64> {
    if tensor.dims().contains(&0) {
        // Burn cannot read what is empty from CUDA.
        return Vec::new();
    }
    tensor.into_data().iter::<f64>().collect()
}

/// What a model says about one sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Predicted {
    /// Position of the sample in the data set.
    pub index: usize,
    /// What was predicted, an entry per target; of a potential the total energy in eV, reference energies included, and
    /// forces in eV/angstrom.
    pub values: Vec<Vec<f64>>,
}

/// Samples of a data set that a model is to go through once, and how.
#[derive(Clone)]
pub struct Pass<'a, D> {
    /// The data set.
    pub dataset: &'a Arc<Dataset>,
    /// Which of its samples, in which order.
    pub members: Vec<usize>,
    /// What one batch may hold.
    pub budget: Budget,
    /// Background threads that make batches.
    pub workers: usize,
    /// Where the model computes.
    pub device: &'a D,
}

impl<'a, D> Pass<'a, D> {
    /// All samples in their order, with one background thread.
    pub fn over(dataset: &'a Arc<Dataset>, budget: Budget, device: &'a D) -> Self {
        Self { dataset, members: (0..dataset.len()).collect(), budget, workers: 1, device }
    }
}

/// A batch, and what is known of its samples, in the order that was asked for.
pub(crate) struct Labelled {
    batch: Batch,
    pub(crate) members: Vec<usize>,
    pub(crate) labels: Vec<SampleLabels>,
}

impl Labelled {
    pub(crate) fn new(dataset: &Dataset, members: &[usize], samples: Vec<Sample>) -> Self {
        let labels = samples.iter().map(|(_, labels)| labels.clone()).collect();
        Self { batch: dataset.batch_of(members, samples), members: members.to_vec(), labels }
    }

    /// The samples with what the model says of them, without what the task adds to it.
    fn predicted<B: ModelBackend>(
        self,
        model: &Predictor<'_, B>,
        targets: &[Target],
        device: &B::Device,
    ) -> Result<Vec<(Predicted, SampleLabels)>> {
        let values = model.predict(&self.batch, targets, device)?;
        // Graphs of a batch are ordered by head.
        let mut found: HashMap<usize, Vec<Vec<f64>>> = self.batch.graphs.members.iter().copied().zip(values).collect();
        let with = |(index, labels)| (Predicted { index, values: found.remove(&index).unwrap_or_default() }, labels);
        Ok(self.members.into_iter().zip(self.labels).map(with).collect())
    }
}

/// Predicts samples, in the order they are named in, and hands each to `found` with its labels, both without what the task
/// adds to what the model says.
pub(crate) fn predict_raw<B: ModelBackend>(
    model: &Predictor<'_, B>,
    pass: &Pass<'_, B::Device>,
    mut found: impl FnMut(Predicted, SampleLabels) -> Result<()>,
) -> Result<()> {
    let Pass { dataset, members, budget, workers, device } = pass;
    let batches = pack(members.clone(), &dataset.sizes, *budget);
    let (steps, source) = (0..batches.len(), Arc::clone(dataset));
    let make = move |step: usize| -> Result<Labelled> {
        let members = batches.get(step).unwrap_or_default();
        let samples = members.iter().map(|&index| source.sample(index)).collect::<Result<_>>()?;
        Ok(Labelled::new(&source, members, samples))
    };
    for labelled in Loader::<_, Error>::new(Arc::new(make), steps, *workers) {
        let predicted = labelled?.predicted(model, &dataset.task().targets, device)?;
        predicted.into_iter().try_for_each(|(predicted, labels)| found(predicted, labels))?;
    }
    Ok(())
}

/// Predicts samples, in the order they are named in, and hands each to `found`.
///
/// # Errors
/// Those of the data set and of the model, and what `found` returns.
pub fn predict<B: ModelBackend>(
    model: &Predictor<'_, B>,
    pass: &Pass<'_, B::Device>,
    mut found: impl FnMut(Predicted) -> Result<()>,
) -> Result<()> {
    predict_raw(model, pass, |mut predicted, _| {
        pass.dataset.complete(predicted.index, &mut predicted.values)?;
        found(predicted)
    })
}

/// Errors on labelled samples.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tallies {
    /// On all of them.
    pub all: Tally,
    /// On those of each source; nothing where there is one source.
    pub sources: Vec<Tally>,
}

impl Tallies {
    pub(crate) fn of(dataset: &Dataset) -> Result<Self> {
        let all = Tally::new(&dataset.label_room()?);
        let sources = if dataset.sources() > 1 { vec![all.clone(); dataset.sources()] } else { Vec::new() };
        Ok(Self { all, sources })
    }

    /// Adds what was tallied elsewhere, of other samples of the same data set.
    pub fn merge(&mut self, other: Self) {
        self.all.merge(other.all);
        self.sources.iter_mut().zip(other.sources).for_each(|(own, other)| own.merge(other));
    }

    /// The errors on each source, by its name; nothing where there is one source.
    pub fn by_source(&self, metrics: &[Metric], names: impl Iterator<Item = String>) -> BySource {
        BySource(names.zip(&self.sources).map(|(name, tally)| (name, tally.metrics(metrics))).collect())
    }

    /// Adds what a model says of a batch.
    ///
    /// # Errors
    /// Those of the model.
    pub(crate) fn add_batch<B: ModelBackend>(
        &mut self,
        dataset: &Dataset,
        labelled: Labelled,
        model: &Predictor<'_, B>,
        device: &B::Device,
    ) -> Result<()> {
        let predicted = labelled.predicted(model, &dataset.task().targets, device)?;
        predicted.into_iter().for_each(|(predicted, labels)| self.add(dataset, &predicted, labels));
        Ok(())
    }

    /// Adds zeros for what a model would say of a sample.
    pub(crate) fn add_zeros(&mut self, dataset: &Dataset, index: usize, labels: SampleLabels) {
        let sizes = dataset.sizes[index];
        let zeros = |target: &Target| vec![0.0; target.rows(sizes) * target.columns(dataset.dims)];
        let values = dataset.task().targets.iter().map(zeros).collect();
        self.add(dataset, &Predicted { index, values }, labels);
    }

    /// Adds a prediction beside its labels; both are without what is known without the model.
    pub(crate) fn add(&mut self, dataset: &Dataset, predicted: &Predicted, labels: SampleLabels) {
        if let Some(source) = self.sources.get_mut(dataset.source(predicted.index)) {
            add_to(source, dataset, predicted, &labels);
        }
        add_to(&mut self.all, dataset, predicted, &labels);
    }
}

/// Adds a prediction beside its labels to a tally.
fn add_to(tally: &mut Tally, dataset: &Dataset, predicted: &Predicted, labels: &SampleLabels) {
    let nodes = dataset.sizes[predicted.index].atoms;
    let pairs = dataset.task().targets.iter().zip(labels).zip(&predicted.values).enumerate();
    for (place, ((target, label), found)) in pairs {
        if let Some(label) = label {
            tally.add(place, target, nodes, dataset.dims, label, found);
        }
    }
}

/// The errors of a model on labelled samples.
///
/// # Errors
/// Those of the data set and of the model.
pub fn evaluate<B: ModelBackend>(model: &Predictor<'_, B>, pass: &Pass<'_, B::Device>) -> Result<Tallies> {
    let mut tallies = Tallies::of(pass.dataset)?;
    predict_raw(model, pass, |predicted, labels| {
        tallies.add(pass.dataset, &predicted, labels);
        Ok(())
    })?;
    Ok(tallies)
}

/// As [`evaluate`], and beside it the errors on each of so many groups of samples; `group` has the number of each sample's.
///
/// # Errors
/// As [`evaluate`].
///
/// # Panics
/// If `group` has fewer numbers than there are samples, or a number that is not below `groups`.
pub fn evaluate_groups<B: ModelBackend>(
    model: &Predictor<'_, B>,
    pass: &Pass<'_, B::Device>,
    group: &[usize],
    groups: usize,
) -> Result<(Tallies, Vec<Tally>)> {
    let mut all = Tallies::of(pass.dataset)?;
    let mut parts = vec![all.all.clone(); groups];
    predict_raw(model, pass, |predicted, labels| {
        add_to(&mut parts[group[predicted.index]], pass.dataset, &predicted, &labels);
        all.add(pass.dataset, &predicted, labels);
        Ok(())
    })?;
    Ok((all, parts))
}

/// The errors of predicting zero for whatever the model has to learn: reference energies and zero forces, means, all
/// classes alike.
///
/// # Errors
/// Where a sample cannot be read.
pub fn baseline(dataset: &Dataset) -> Result<Tallies> {
    let mut tallies = Tallies::of(dataset)?;
    for index in 0..dataset.len() {
        tallies.add_zeros(dataset, index, dataset.labels(index)?);
    }
    Ok(tallies)
}
