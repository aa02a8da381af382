//! Which structures are trained on and which are held out.

use std::collections::HashMap;
use std::hash::Hash;

use isograd_structure::Structure;
use serde::{Deserialize, Serialize};

use crate::epoch_order;

/// A stream number of the order's generator that no epoch reaches: the split's own.
const SPLIT_STREAM: usize = usize::MAX;

/// The share that may be held out where groups are large, however small the share that was asked for.
const MOST_OF_GROUPS: f64 = 0.34;

/// How many times the share that was asked for may be held out where a smaller one is possible.
const MOST_BEYOND: f64 = 1.5;

/// What stays on one side of the train/validation split.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "String", into = "String")]
pub enum SplitBy {
    /// Each frame for itself.
    Frame,
    /// Frames of one chemical formula together.
    Formula,
    /// Frames of one value of this comment key together.
    Key(String),
}

impl From<String> for SplitBy {
    fn from(text: String) -> Self {
        match text.as_str() {
            "frame" => Self::Frame,
            "formula" => Self::Formula,
            _ => Self::Key(text),
        }
    }
}

impl From<SplitBy> for String {
    fn from(split: SplitBy) -> String {
        match split {
            SplitBy::Frame => "frame".into(),
            SplitBy::Formula => "formula".into(),
            SplitBy::Key(key) => key,
        }
    }
}

/// Holds out whole groups, about a share of `validation_fraction` of the structures: the part to train on and the part held
/// out, each in the order given. Groups are gone through in an order that depends on `seed` and on `source`, the number of the
/// data source, alone, until the share is reached; those that are far too large are passed over. At least one group stays on either
/// side.
///
/// # Errors
/// A sentence about what is missing: a second group, groups that are small enough, or the comment key that they are told by.
pub fn split<T: AsRef<Structure>>(
    structures: Vec<T>,
    by: &SplitBy,
    validation_fraction: f64,
    seed: u64,
    source: usize,
) -> Result<(Vec<T>, Vec<T>), String> {
    let name = |index: usize| {
        let structure = structures[index].as_ref();
        match by {
            SplitBy::Frame => Ok(None),
            SplitBy::Formula => Ok(Some(structure.formula())),
            SplitBy::Key(key) => structure.group.clone().map(Some).ok_or_else(|| without_key(key)),
        }
    };
    let held_out = held_out(structures.len(), name, by, validation_fraction, seed, source)?;
    let mut sides = (Vec::new(), Vec::new());
    for (structure, held_out) in structures.into_iter().zip(held_out) {
        if held_out { &mut sides.1 } else { &mut sides.0 }.push(structure);
    }
    Ok(sides)
}

/// What is wrong with a frame that is in no group.
pub(crate) fn without_key(key: &str) -> String {
    format!("a frame has no `{key}` in its comment, which data.split_by = \"{key}\" needs")
}

/// Which of `count` structures are held out, as [`split`] has it. `group` names the group of one; `None` where each is a group of
/// its own.
///
/// # Errors
/// As [`split`].
pub(crate) fn held_out<G: Eq + Hash>(
    count: usize,
    group: impl Fn(usize) -> Result<Option<G>, String>,
    by: &SplitBy,
    validation_fraction: f64,
    seed: u64,
    source: usize,
) -> Result<Vec<bool>, String> {
    let mut group_of = Vec::with_capacity(count);
    let mut numbers: HashMap<G, usize> = HashMap::new();
    for index in 0..count {
        match group(index)? {
            None => group_of.push(index),
            Some(name) => {
                let next = numbers.len();
                group_of.push(*numbers.entry(name).or_insert(next));
            }
        }
    }
    let groups = if *by == SplitBy::Frame { count } else { numbers.len() };
    if groups < 2 {
        return Err(format!(
            "training and validation need at least two groups (data.split_by = \"{}\"), found {groups}; name data.validation_files, \
             or hold nothing out with data.validation_fraction = 0",
            String::from(by.clone())
        ));
    }
    let mut sizes = vec![0usize; groups];
    for &group in &group_of {
        sizes[group] += 1;
    }
    let target = (validation_fraction * count as f64).round().max(1.0) as usize;
    let order = epoch_order(seed.wrapping_add(source as u64), SPLIT_STREAM, groups);
    let mut chosen = vec![false; groups];
    let (mut structures, mut taken) = (0, 0);
    for &group in &order {
        if structures >= target || taken + 1 == groups {
            break;
        }
        // What would hold out far more than was asked for is passed over.
        let with = structures + sizes[group];
        if with as f64 <= MOST_BEYOND * target as f64 {
            structures = with;
            taken += 1;
            chosen[group] = true;
        }
    }
    if let Some(&smallest) = order.iter().min_by_key(|&&group| sizes[group]).filter(|_| taken == 0) {
        structures = sizes[smallest];
        chosen[smallest] = true;
    }
    let share = structures as f64 / count as f64;
    let is_far = 3.0 * share < validation_fraction || share > (2.0 * validation_fraction).max(MOST_OF_GROUPS);
    if is_far && *by != SplitBy::Frame {
        let by = String::from(by.clone());
        let largest = sizes.iter().max().copied().unwrap_or_default();
        return Err(format!(
            "data.validation_fraction = {validation_fraction} cannot be held out in whole groups (data.split_by = \"{by}\"): the \
             largest of {groups} has {largest} of {count} frames, and the nearest share is {share:.2}; set that, or split by frame"
        ));
    }
    Ok(group_of.into_iter().map(|group| chosen[group]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn structures(groups: &[usize]) -> Vec<Structure> {
        let structure = |group: &usize| Structure { group: Some(group.to_string()), ..Default::default() };
        groups.iter().map(structure).collect()
    }

    #[test]
    fn groups_are_never_cut() {
        let groups: Vec<usize> = (0..200).map(|k| k % 20).collect();
        let by = SplitBy::Key("m".into());
        let (training, validation) = split(structures(&groups), &by, 0.1, 0, 0).unwrap();
        let names = |side: &[Structure]| side.iter().map(|s| s.group.clone().unwrap()).collect::<BTreeSet<_>>();
        assert_eq!((training.len(), validation.len()), (180, 20));
        assert!(names(&training).is_disjoint(&names(&validation)));
        let (_, other) = split(structures(&groups), &by, 0.1, 1, 0).unwrap();
        assert_ne!(names(&validation), names(&other));
    }

    #[test]
    fn groups_of_any_sizes_give_about_the_share() {
        let groups: Vec<usize> = (0..210).map(|k| if k < 190 { 0 } else { k / 10 }).collect();
        let by = SplitBy::Key("m".into());
        for seed in 0..20 {
            let (training, validation) = split(structures(&groups), &by, 0.1, seed, 0).unwrap();
            assert_eq!((training.len(), validation.len()), (190, 20));
        }
        // Where none is small, one of the smallest is held out, as long as that is not far off.
        let (_, validation) = split(structures(&[0, 0, 0, 1, 1, 2, 2, 2]), &by, 0.1, 3, 0).unwrap();
        assert_eq!(validation.iter().map(|own| own.group.as_deref().unwrap()).collect::<Vec<_>>(), ["1", "1"]);
        let message = split(structures(&[0, 0, 0, 1, 1, 1]), &by, 0.1, 0, 0).unwrap_err();
        assert!(message.contains("the nearest share is 0.50"), "{message}");
        let groups: Vec<usize> = (0..200).map(|k| usize::from(k < 10)).collect();
        let message = split(structures(&groups), &by, 0.3, 0, 0).unwrap_err();
        assert!(message.contains("the largest of 2 has 190 of 200 frames, and the nearest share is 0.05"), "{message}");
    }

    #[test]
    fn one_group_cannot_be_split() {
        assert!(
            split(structures(&[0, 0, 0]), &SplitBy::Formula, 0.1, 0, 0).unwrap_err().contains("at least two groups")
        );
        let by = SplitBy::Key("m".into());
        assert!(split(vec![Structure::default()], &by, 0.1, 0, 0).unwrap_err().contains("no `m`"));
    }

    #[test]
    fn a_large_share_still_leaves_something_to_train_on() {
        let (training, validation) = split(structures(&[0, 1]), &SplitBy::Frame, 0.9, 0, 0).unwrap();
        assert_eq!((training.len(), validation.len()), (1, 1));
    }
}
