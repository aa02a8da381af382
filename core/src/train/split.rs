//! Which structures are trained on and which are held out.

use std::collections::{BTreeSet, HashMap};

use isograd_structure::Structure;

use crate::config::{DataConfig, SplitBy};
use crate::graph::epoch_order;

/// A stream number of the order's generator that no epoch reaches: the split's own.
const SPLIT_STREAM: usize = usize::MAX;

/// Holds out whole groups until the validation share is reached; the order of groups depends on the
/// seed alone.
pub(super) fn split(
    structures: Vec<Structure>,
    data: &DataConfig,
    seed: u64,
    source: usize,
) -> Result<(Vec<Structure>, Vec<Structure>), String> {
    let mut group_of = Vec::with_capacity(structures.len());
    let mut numbers: HashMap<String, usize> = HashMap::new();
    for (index, structure) in structures.iter().enumerate() {
        let name = match &data.split_by {
            SplitBy::Frame => {
                group_of.push(index);
                continue;
            }
            SplitBy::Formula => structure.formula(),
            SplitBy::Key(key) => structure.group.clone().ok_or_else(|| {
                format!("a frame has no `{key}` in its comment, which data.split_by = \"{key}\" needs")
            })?,
        };
        let next = numbers.len();
        group_of.push(*numbers.entry(name).or_insert(next));
    }
    let groups = if data.split_by == SplitBy::Frame { structures.len() } else { numbers.len() };
    if groups < 2 {
        return Err(format!(
            "training and validation need at least two groups (data.split_by = \"{}\"), found {groups}",
            String::from(data.split_by.clone())
        ));
    }
    let mut sizes = vec![0usize; groups];
    for &group in &group_of {
        sizes[group] += 1;
    }
    let target = (data.validation_fraction * structures.len() as f64).round().max(1.0) as usize;
    let mut held_out = BTreeSet::new();
    let mut count = 0;
    for group in epoch_order(seed.wrapping_add(source as u64), SPLIT_STREAM, groups) {
        if count >= target || held_out.len() + 1 == groups {
            break;
        }
        count += sizes[group];
        held_out.insert(group);
    }
    let mut sides = (Vec::new(), Vec::new());
    for (structure, group) in structures.into_iter().zip(group_of) {
        if held_out.contains(&group) { &mut sides.1 } else { &mut sides.0 }.push(structure);
    }
    Ok(sides)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn structures(groups: &[usize]) -> Vec<Structure> {
        let structure = |group: &usize| Structure { group: Some(group.to_string()), ..Default::default() };
        groups.iter().map(structure).collect()
    }

    #[test]
    fn groups_are_never_cut() {
        let groups: Vec<usize> = (0..200).map(|k| k % 20).collect();
        let data = DataConfig { split_by: SplitBy::Key("m".into()), ..Default::default() };
        let (training, validation) = split(structures(&groups), &data, 0, 0).unwrap();
        let names = |side: &[Structure]| side.iter().map(|s| s.group.clone().unwrap()).collect::<BTreeSet<_>>();
        assert_eq!((training.len(), validation.len()), (180, 20));
        assert!(names(&training).is_disjoint(&names(&validation)));
        let (_, other) = split(structures(&groups), &data, 1, 0).unwrap();
        assert_ne!(names(&validation), names(&other));
    }

    #[test]
    fn one_group_cannot_be_split() {
        let data = DataConfig { split_by: SplitBy::Formula, ..Default::default() };
        assert!(split(structures(&[0, 0, 0]), &data, 0, 0).unwrap_err().contains("at least two groups"));
        let data = DataConfig { split_by: SplitBy::Key("m".into()), ..Default::default() };
        assert!(split(vec![Structure::default()], &data, 0, 0).unwrap_err().contains("no `m`"));
    }

    #[test]
    fn a_large_share_still_leaves_something_to_train_on() {
        let data = DataConfig { validation_fraction: 0.9, ..Default::default() };
        let (training, validation) = split(structures(&[0, 1]), &data, 0, 0).unwrap();
        assert_eq!((training.len(), validation.len()), (1, 1));
    }
}
