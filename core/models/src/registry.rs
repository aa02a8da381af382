//! Architectures by `kind`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::architecture::make;
use crate::{AnyArchitecture, Architecture, Egnn, Gat, Gcn, Invalid, Moments, PaiNN, SchNet, Study};

/// Makes an architecture of its hyper-parameters.
type Make = fn(Json) -> Result<Arc<dyn AnyArchitecture>, Invalid>;

/// Architectures by `kind`, as config files and weight files name them.
#[derive(Debug, Clone)]
pub struct Registry {
    kinds: BTreeMap<&'static str, Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    make: Make,
    defaults: fn() -> Json,
}

impl Default for Registry {
    /// All architectures of this crate.
    fn default() -> Self {
        let none = Self { kinds: BTreeMap::new() };
        none.with::<Egnn>()
            .with::<Gat>()
            .with::<Gcn>()
            .with::<Moments>()
            .with::<PaiNN>()
            .with::<SchNet>()
            .with::<Study>()
    }
}

impl Registry {
    /// The same and one more, which replaces any of its kind.
    #[must_use]
    pub fn with<T: Architecture>(mut self) -> Self {
        self.kinds.insert(T::KIND, Entry { make: make::<T>, defaults: || T::default().options() });
        self
    }

    /// The kinds, in alphabetical order.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.kinds.keys().copied()
    }

    /// The default hyper-parameters of a kind, by key; `None` where it is not known.
    pub fn defaults(&self, kind: &str) -> Option<Json> {
        self.kinds.get(kind).map(|entry| (entry.defaults)())
    }

    /// The architecture of a kind with these hyper-parameters, a table of those that are not left at their defaults.
    ///
    /// # Errors
    /// For an unknown kind or key, or a value of the wrong type; an error about a key of `options` has no key of its own,
    /// but names it in the message.
    pub fn make(&self, kind: &str, options: Json) -> Result<Arc<dyn AnyArchitecture>, Invalid> {
        let Some(entry) = self.kinds.get(kind) else {
            let known: Vec<&str> = self.kinds().collect();
            return Err(Invalid::new("kind", format!("is `{kind}`, expected one of {}", known.join(", "))));
        };
        (entry.make)(options)
    }
}
