//! What an audit says of the labels of structures in memory, before they are trained on.

use isograd_data::Collection;
use isograd_data::audit::{Audit, AuditOptions, Auditor, Finding};

use crate::config::SourceConfig;

/// Structures up to which an audit takes no time that anyone notices: some 40 microseconds each.
const MOST: usize = 200_000;

/// Findings that are worth a warning, beside what is found of all structures anyway.
const SAID: [&str; 9] = [
    "constant_energy",
    "contradicting_energies",
    "contradicting_forces",
    "energy_outlier",
    "energy_per_atom",
    "force_sign",
    "force_unit",
    "forces_unrelated",
    "stale_energy",
];

/// Sentences about labels of one source that are probably wrong. Structures of stores are not read for that.
pub(super) fn suspicions(source: &SourceConfig, parts: [&Collection; 2]) -> Vec<String> {
    let mut auditor = Auditor::new(AuditOptions::default());
    let number = auditor.source(&source.name, source.units);
    for (part, is_held_out) in parts.into_iter().zip([false, true]) {
        if let Collection::Memory(structures) = part
            && structures.len() <= MOST
        {
            auditor.look_at(number, structures, is_held_out);
        }
    }
    let findings = Audit::of(auditor).findings;
    findings.iter().filter(|finding| SAID.contains(&finding.kind)).map(|own| sentence(&source.name, own)).collect()
}

fn sentence(source: &str, finding: &Finding) -> String {
    let Finding { says, remedy, worst, .. } = finding;
    let mut sentence = format!("source `{source}`: {says}");
    if let Some(worst) = worst.first() {
        let beside = worst.beside.as_ref().map_or(String::new(), |other| format!(" beside {other}"));
        let value = worst.value.map_or(String::new(), |value| format!(", {value:.3} {}", worst.unit));
        sentence += &format!(" (worst: {}{beside}{value})", worst.place);
    }
    if let Some(remedy) = remedy {
        sentence += &format!("; {remedy}");
    }
    sentence
}
