//! Whole recipes: what `preset` at the head of a config says of a model and its training, where the config says nothing.

use toml::{Table, Value};

/// Names of recipes, and what they say.
const PRESETS: [(&str, &str); 3] = [
    ("fast", include_str!("presets/fast.toml")),
    ("accurate", include_str!("presets/accurate.toml")),
    ("large", include_str!("presets/large.toml")),
];

/// Takes `preset` out of a config, and puts what it says beside what the config says. The hyper-parameters of a kind of
/// model are left out where the config names another.
///
/// # Errors
/// What was expected, if there is no such preset.
pub(super) fn apply(config: &mut Table) -> Result<(), String> {
    let Some(name) = config.remove("preset") else { return Ok(()) };
    let found = PRESETS.iter().find(|(known, _)| name.as_str() == Some(known));
    let Some((_, text)) = found else {
        let known = PRESETS.map(|(known, _)| format!("`{known}`")).join(", ");
        return Err(format!("preset is {name}, expected one of {known}"));
    };
    let mut preset: Table = toml::from_str(text).map_err(|error| format!("preset {name}: {error}"))?;
    let kind = |table: &Table| table.get("model").and_then(|model| model.get("kind")).cloned();
    if kind(config).is_some_and(|own| Some(own) != kind(&preset)) {
        preset.remove("model");
    }
    add(config, preset);
    Ok(())
}

/// What is not there yet. A table with a `kind` is taken whole, because its other keys belong to the kind.
fn add(table: &mut Table, more: Table) {
    for (key, value) in more {
        match (table.get_mut(&key), value) {
            (None, value) => {
                table.insert(key, value);
            }
            (Some(Value::Table(own)), Value::Table(more)) if key == "model" || !own.contains_key("kind") => {
                add(own, more);
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn parse(text: &str, overrides: &[&str]) -> Result<Config, String> {
        let overrides: Vec<String> = overrides.iter().map(|text| (*text).to_owned()).collect();
        Config::parse(text, &overrides, "c.toml").map_err(|error| error.to_string())
    }

    const FILES: &str = "[data]\nfiles = [\"a.xyz\"]\n";

    #[test]
    fn every_preset_is_a_config_and_differs_from_the_others() {
        let configs = PRESETS.map(|(name, _)| parse(&format!("preset = \"{name}\"\n{FILES}"), &[]).unwrap());
        let plain = parse(FILES, &[]).unwrap();
        for (k, config) in configs.iter().enumerate() {
            assert_ne!((&config.model, &config.train), (&plain.model, &plain.train));
            assert!(configs[..k].iter().all(|other| other != config));
        }
    }

    #[test]
    fn what_a_config_says_wins() {
        let text = format!("preset = \"accurate\"\n{FILES}[model]\nwidth = 24\n[train.schedule]\nwarmup_steps = 7\n");
        let config = parse(&text, &["train.batch_graphs=3", "loss.force_weight=4"]).unwrap();
        let plain = parse(&format!("preset = \"accurate\"\n{FILES}"), &[]).unwrap();
        assert_eq!((config.model.kind.as_str(), &config.model.options["width"]), ("moments", &24.into()));
        assert_eq!((config.train.batch_graphs, config.train.schedule.warmup_steps), (3, 7));
        assert_eq!(config.train.learning_rate, plain.train.learning_rate);
        assert_eq!(config.loss.force_weight, 4.0);
        // Written down, it says everything, and no longer needs the preset.
        let again = Config::parse(&config.to_toml().unwrap(), &[], "again").unwrap();
        assert_eq!(again, config);
    }

    #[test]
    fn another_kind_of_model_has_its_own_defaults() {
        let text = format!("preset = \"accurate\"\n{FILES}[model]\nkind = \"schnet\"\n");
        let config = parse(&text, &[]).unwrap();
        let plain = parse(&format!("{FILES}[model]\nkind = \"schnet\"\n"), &[]).unwrap();
        assert_eq!(config.model, plain.model);
        assert_ne!(config.train, plain.train);
    }

    #[test]
    fn there_is_no_other() {
        let message = parse(&format!("preset = \"acurate\"\n{FILES}"), &[]).unwrap_err();
        assert!(message.contains("preset is \"acurate\"\n"), "{message}");
        assert!(message.contains("\nexpected one of `fast`, `accurate`, `large`"), "{message}");
    }

    #[test]
    fn errors_still_name_their_line() {
        let message = parse(&format!("preset = \"fast\"\n{FILES}[train]\nbatch_graps = 3\n"), &[]).unwrap_err();
        assert!(message.contains("batch_graps") && message.contains('5'), "{message}");
    }
}
