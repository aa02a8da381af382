//! What a potential predicts.

use std::sync::LazyLock;

use crate::{Kind, Level, Target};

static TARGETS: LazyLock<[Target; 2]> = LazyLock::new(|| {
    let target = |name: &str, level, kind, unit: &str, extensive| Target {
        name: name.to_owned(),
        level,
        kind,
        unit: unit.to_owned(),
        extensive,
    };
    [
        target("energy", Level::Graph, Kind::Scalar, "eV", true),
        target("forces", Level::Node, Kind::Vector, "eV/Å", false),
    ]
});

/// Energy and forces, in this order.
pub fn potential_targets() -> &'static [Target] {
    &*TARGETS
}
