//! `train.freeze`: which parameters stay as they begin.

use std::collections::BTreeSet;

use crate::{Error, Result};

/// Whether a pattern names a parameter: its path as far as any point, with `0-2` for the numbers from 0 to 2.
fn names(pattern: &str, path: &str) -> bool {
    let mut path = path.split('.');
    pattern.split('.').all(|part| path.next().is_some_and(|own| part == own || within(part, own)))
}

/// Whether a number lies in a range such as `0-2`.
fn within(range: &str, number: &str) -> bool {
    let ends = range.split_once('-').map(|(first, last)| (first.parse::<usize>(), last.parse::<usize>()));
    match (ends, number.parse::<usize>()) {
        (Some((Ok(first), Ok(last))), Ok(number)) => (first..=last).contains(&number),
        _ => false,
    }
}

/// Whether any of the patterns names a parameter.
pub(crate) fn is_frozen(patterns: &[String], path: &str) -> bool {
    patterns.iter().any(|pattern| names(pattern, path))
}

/// Refuses a pattern that names none of the paths, and patterns that name all of them.
///
/// # Errors
/// [`Error::Config`].
pub(crate) fn check(patterns: &[String], paths: &[&str]) -> Result<()> {
    let wrong = |message| Err(Error::Config { place: "train.freeze".into(), message });
    if let Some(pattern) = patterns.iter().find(|pattern| !paths.iter().any(|path| names(pattern, path))) {
        let known: BTreeSet<String> = paths.iter().map(|path| part_of(path)).collect();
        let known = known.into_iter().collect::<Vec<_>>().join(", ");
        return wrong(format!("`{pattern}` names no parameter; the model has {known}, and more below each of them"));
    }
    if !patterns.is_empty() && paths.iter().all(|path| is_frozen(patterns, path)) {
        return wrong("names all parameters: nothing is left to train".into());
    }
    Ok(())
}

/// The part of a model that a parameter belongs to: `embedding`, `layers.0`.
pub(crate) fn part_of(path: &str) -> String {
    let mut words = path.split('.');
    let first = words.next().unwrap_or_default();
    match words.next() {
        Some(number) if number.parse::<usize>().is_ok() => format!("{first}.{number}"),
        _ => first.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATHS: [&str; 5] =
        ["embedding", "layers.0.update.weight", "layers.1.update.weight", "layers.10.a", "heads.0.x"];

    fn frozen(patterns: &[&str]) -> Vec<&'static str> {
        let patterns: Vec<String> = patterns.iter().map(|&own| own.to_owned()).collect();
        PATHS.into_iter().filter(|path| is_frozen(&patterns, path)).collect()
    }

    #[test]
    fn patterns_name_whole_parts() {
        assert_eq!(frozen(&["embedding", "layers.0-1"]), PATHS[..3]);
        assert_eq!(frozen(&["layers.1"]), ["layers.1.update.weight"]);
        assert_eq!(frozen(&["layers"]), PATHS[1..4]);
        assert_eq!(frozen(&["layers.0-9.update"]), PATHS[1..3]);
        assert!(frozen(&["layer", "embed", "0-2", "layers.0.update.weight.more"]).is_empty());
    }

    #[test]
    fn what_names_nothing_or_everything_is_refused() {
        let check = |patterns: &[&str]| {
            let patterns: Vec<String> = patterns.iter().map(|&own| own.to_owned()).collect();
            check(&patterns, &PATHS).map_err(|error| error.to_string())
        };
        assert!(check(&[]).is_ok() && check(&["layers"]).is_ok());
        let message = check(&["layers", "layer.0"]).unwrap_err();
        let expected = "train.freeze: `layer.0` names no parameter; the model has embedding, heads.0, layers.0, layers.1, layers.10";
        assert!(message.contains(expected), "{message}");
        assert!(check(&["layers", "embedding", "heads"]).unwrap_err().contains("nothing is left"));
    }
}
