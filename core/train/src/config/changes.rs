//! Settings one by one, and which of them a run may go on with when they have changed.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;
use toml::{Table, Value};

use super::Config;
use crate::{Error, Result};

/// What a run may go on with: where results go, how long and at what rate it is trained, on which device and by how many
/// ranks, and where samples lie. What the samples are decides, not the path that they are read from; nor where the weights lay
/// that it began with.
const FREE: [&str; 15] = [
    "data.replica_width",
    "data.resident",
    "parallel.ranks",
    "parallel.recompute",
    "parallel.timeout",
    "parallel.zero",
    "train.device",
    "train.early_stopping",
    "train.epochs",
    "train.learning_rate",
    "train.seconds",
    "train.seeds",
    "train.start_from",
    "train.validate_every",
    "train.workers",
];

/// Whether a key names structure files.
fn is_files(key: &str) -> bool {
    key.ends_with(".files") || key.ends_with(".validation_files")
}

/// Whether a run may go on when this key has changed.
fn is_free(key: &str) -> bool {
    let of_source = key.starts_with("data.sources.") && is_files(key);
    FREE.contains(&key) || key.starts_with("run.") || of_source
}

impl Config {
    /// A hash of everything that decides the course of training: not of where results go, how long, at what rate or on which
    /// device, or where samples lie.
    pub fn training_hash(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        // Every config can be written.
        for (key, value) in self.entries().unwrap_or_default().iter().filter(|(key, _)| !is_free(key)) {
            hasher.update(format!("{key} = {value}\n").as_bytes());
        }
        hasher.finalize().to_hex().to_string()
    }

    /// What has changed since the config was that of this table, in words: what a run may not go on with, and what it may. Of
    /// where files lie nothing is said.
    ///
    /// # Errors
    /// [`Error::Internal`]: every config can be written.
    pub fn changes_since(&self, before: &Table) -> Result<(Vec<String>, Vec<String>)> {
        let mut old = BTreeMap::new();
        flatten("", &Value::Table(before.clone()), &mut old);
        let new = self.entries()?;
        let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
        let changed = keys.into_iter().filter(|key| old.get(*key) != new.get(*key));
        let (free, others): (Vec<&String>, Vec<&String>) = changed.partition(|key| is_free(key));
        let words = |key: &String| {
            let shown = |of: &BTreeMap<String, Value>| of.get(key).map_or("not set".to_owned(), Value::to_string);
            format!("{key} was {}, is {}", shown(&old), shown(&new))
        };
        let is_place = |key: &str| key.starts_with("run.") || is_files(key) || key == "train.start_from";
        let free = free.into_iter().filter(|key| !is_place(key));
        Ok((others.into_iter().map(words).collect(), free.map(words).collect()))
    }

    /// Every setting by its full name.
    fn entries(&self) -> Result<BTreeMap<String, Value>> {
        let table = Table::try_from(self).map_err(|error| Error::Internal(format!("writing a config: {error}")))?;
        let mut entries = BTreeMap::new();
        flatten("", &Value::Table(table), &mut entries);
        Ok(entries)
    }
}

/// The settings of a table by their full names, as in `train.seed`; those of a list of tables with their positions.
pub fn settings_of(table: &Table) -> BTreeMap<String, Json> {
    let mut entries = BTreeMap::new();
    flatten("", &Value::Table(table.clone()), &mut entries);
    // Every value of TOML can be written in JSON.
    entries.into_iter().map(|(key, value)| (key, serde_json::to_value(value).unwrap_or_default())).collect()
}

/// The values of a table by their full names; of a list of tables with their positions.
fn flatten(name: &str, value: &Value, into: &mut BTreeMap<String, Value>) {
    let within = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        Value::Table(table) => table.iter().for_each(|(key, value)| flatten(&within(key), value, into)),
        Value::Array(all) if all.iter().any(Value::is_table) => {
            all.iter().enumerate().for_each(|(place, value)| flatten(&within(&place.to_string()), value, into));
        }
        other => {
            into.insert(name.to_owned(), other.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(set: &[&str]) -> Config {
        let set: Vec<String> = set.iter().map(|&set| set.to_owned()).collect();
        Config::parse("[[data.sources]]\nname = \"a\"\nfiles = [\"a.xyz\"]\n", &set, "c").unwrap()
    }

    #[test]
    fn the_hash_ignores_where_results_go_but_not_the_course() {
        let hash = |set: &str| config(&[set]).training_hash();
        let alike = [
            ("run.out=a", "run.out=b"),
            ("train.device=cpu", "train.device=wgpu"),
            ("train.epochs=1", "train.epochs=2"),
            ("train.learning_rate=1e-3", "train.learning_rate=1e-4"),
            ("train.workers=1", "train.workers=4"),
            ("data.resident=node", "data.resident=ranks"),
            ("data.sources=[{name=\"a\", files=[\"a\"]}]", "data.sources=[{name=\"a\", files=[\"/b\"]}]"),
        ];
        for (a, b) in alike {
            assert_eq!(hash(a), hash(b), "{a}");
        }
        for (a, b) in [
            ("train.seed=1", "train.seed=2"),
            ("model.width=8", "model.width=16"),
            ("data.fraction=0.5", "data.fraction=0.25"),
            ("loss.huber_delta=0.01", "loss.huber_delta=0.02"),
        ] {
            assert_ne!(hash(a), hash(b), "{a}");
        }
    }

    #[test]
    fn what_has_changed_is_named() {
        let before = toml::from_str(&config(&[]).to_toml().unwrap()).unwrap();
        let set =
            ["train.batch_graphs=8", "train.learning_rate=0.01", "run.out=x", "train.seconds=5.0", "train.device=wgpu"];
        let (others, free) = config(&set).changes_since(&before).unwrap();
        assert_eq!(others, ["train.batch_graphs was 32, is 8"]);
        let expected = ["train.device was \"cpu\", is \"wgpu\"", "train.learning_rate was 0.001, is 0.01"];
        assert!(expected.iter().all(|words| free.iter().any(|own| own == words)), "{free:?}");
        assert!(free.iter().any(|own| own == "train.seconds was not set, is 5.0"), "{free:?}");
        assert_eq!(config(&[]).changes_since(&before).unwrap(), (Vec::new(), Vec::new()));
    }
}
