//! How large labels are, so that the outputs of a model can be near one.

use isograd_data::Collection;
use isograd_data::store::{Entry, Labels};
use isograd_structure::Element;
use isograd_tasks::{Forces, Kind, Label, Offset, Task};

use crate::{Result, SampleLabels};

/// Sums of the squares of labels, target by target, after what is known without the model was taken off; of extensive ones
/// per atom.
pub(super) struct Squares(Vec<(usize, f64)>);

impl Squares {
    pub(super) fn of(task: &Task) -> Self {
        Self(vec![(0, 0.0); task.targets.len()])
    }

    /// Labels of a graph. The squares of one label are added up in single precision, as the index of a store has them.
    pub(super) fn add<'a>(&mut self, task: &Task, nodes: usize, labels: impl Iterator<Item = Option<&'a [f64]>>) {
        for ((target, label), (count, sum)) in task.targets.iter().zip(labels).zip(&mut self.0) {
            let per = if target.extensive { nodes as f64 } else { 1.0 };
            if let Some(label) = label {
                *count += label.iter().filter(|value| !value.is_nan()).count();
                *sum += squares(label) / (per * per);
            }
        }
    }

    /// Labels of all graphs. What a store's index knows of energies, forces and stresses is enough where nothing else is
    /// trained on.
    pub(super) fn add_collection(&mut self, task: &Task, offsets: &[Offset], graphs: &Collection) -> Result<()> {
        if let Collection::Stored(stored) = graphs
            && !task.targets.iter().any(|target| matches!(target.label, Label::Column(_)))
        {
            for index in 0..graphs.len() {
                self.add_entry(
                    task,
                    offsets,
                    &stored.store().index().entry(stored.graph(index)),
                    stored.elements(index),
                );
            }
            return Ok(());
        }
        for structure in graphs.structures() {
            let structure = structure?;
            let labels: SampleLabels =
                task.targets.iter().zip(offsets).map(|(target, offset)| target.shifted(&structure, offset)).collect();
            self.add(task, structure.len(), labels.iter().map(Option::as_deref));
        }
        Ok(())
    }

    fn add_entry(&mut self, task: &Task, offsets: &[Offset], entry: &Entry, elements: &[Element]) {
        let atoms = entry.atoms as usize;
        for ((target, offset), (count, sum)) in task.targets.iter().zip(offsets).zip(&mut self.0) {
            let per = if target.extensive { atoms as f64 } else { 1.0 };
            let (numbers, own, labels) = match target.label {
                Label::Energy => (1, squares(&[entry.energy - offset.of(elements)]), Labels::ENERGY),
                Label::Forces => (entry.force_components(), f64::from(entry.force_squares), Labels::FORCES),
                Label::Stress => (9, f64::from(entry.stress_squares), Labels::STRESS),
                Label::Column(_) => continue,
            };
            if entry.labels.has(labels) {
                *count += numbers;
                *sum += own / (per * per);
            }
        }
    }

    /// A task whose outputs are scaled by the root mean square of its labels. One stands in for another where a kind of label
    /// is missing. An energy that forces are the gradient of is scaled as they are: it is its slopes that should be near one.
    pub(super) fn scaled(self, task: Task, forces: Forces) -> Task {
        let rms: Vec<f64> = self.0.into_iter().map(|(count, sum)| (sum / count.max(1) as f64).sqrt()).collect();
        let usable = |place: usize| rms[place] > 1e-6 && !matches!(task.targets[place].kind, Kind::Class(_));
        let derived = task.targets.iter().position(|target| target.label == Label::Forces);
        let derived = derived.filter(|_| forces == Forces::Gradient);
        let scale = |place: usize| {
            let own = derived.filter(|_| task.targets[place].label == Label::Energy).unwrap_or(place);
            let chosen = [own, place].into_iter().chain(0..rms.len()).find(|&place| usable(place));
            match task.targets[place].kind {
                Kind::Class(_) => 1.0,
                Kind::Scalar | Kind::Vector | Kind::Tensor => chosen.map_or(1.0, |place| rms[place]),
            }
        };
        let scales: Vec<f64> = (0..rms.len()).map(scale).collect();
        task.scaled(&scales)
    }
}

/// The sum of the squares of some numbers, without NaN, rounded to single precision.
fn squares(numbers: &[f64]) -> f64 {
    let labels = numbers.iter().filter(|value| !value.is_nan());
    f64::from(labels.fold(0.0, |sum, value| sum + value * value) as f32)
}
