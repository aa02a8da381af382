//! Options for files whose labels have other names or units than those that a model was trained on.

use isograd::data::Source;
use isograd::train::{Error, Result};

/// How labels are called and measured in the files at hand.
#[derive(clap::Args)]
pub(crate) struct LabelOptions {
    /// Key of the energy in these files; by default that of the run's source
    #[arg(long, value_name = "KEY")]
    energy_key: Option<String>,
    /// Column of the forces in these files
    #[arg(long, value_name = "COLUMN")]
    forces_key: Option<String>,
    /// Key of the stress in these files
    #[arg(long, value_name = "KEY")]
    stress_key: Option<String>,
    /// Column of the atoms in these files whose forces are labels, such as `move_mask`
    #[arg(long, value_name = "COLUMN")]
    force_mask: Option<String>,
    /// Units of these files, in place of those of the run's source: `energy=Hartree,length=bohr`
    #[arg(long, value_name = "UNITS")]
    units: Option<String>,
}

impl LabelOptions {
    /// The source with what is said of the files.
    ///
    /// # Errors
    /// [`Error::Config`] for units that there are not.
    pub(crate) fn of(&self, mut source: Source) -> Result<Source> {
        let Self { energy_key, forces_key, stress_key, force_mask, units } = self;
        let keys = &mut source.keys;
        let asked = [(&mut keys.energy, energy_key), (&mut keys.forces, forces_key), (&mut keys.stress, stress_key)];
        for (key, asked) in asked {
            if let Some(asked) = asked {
                key.clone_from(asked);
            }
        }
        if force_mask.is_some() {
            keys.force_mask.clone_from(force_mask);
        }
        if let Some(units) = units {
            let wrong = |message: String| Error::Config { place: "--units".into(), message };
            let mut pairs = serde_json::Map::new();
            for pair in units.split(',') {
                let (key, value) = pair.split_once('=').ok_or_else(|| {
                    wrong(format!("has `{pair}`, expected pairs such as `energy=Hartree,length=bohr`"))
                })?;
                let value = value.trim();
                let value = value.parse::<bool>().map_or_else(|_| value.into(), serde_json::Value::Bool);
                pairs.insert(key.trim().to_owned(), value);
            }
            source.units = serde_json::from_value(pairs.into()).map_err(|error| wrong(error.to_string()))?;
        }
        Ok(source)
    }
}
