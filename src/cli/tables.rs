//! Tables for the terminal.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use isograd::data::audit::Summary;
use isograd::structure::Element;
use isograd::tasks::{Metric, Metrics};
use isograd::train::ReferenceReport;

/// A terminal of fewer columns is none that anyone looks at.
const NARROWEST: u16 = 20;

/// A file may have most of the periodic table.
const ELEMENTS_OF_LINE: usize = 6;

/// A table with right-aligned columns after the first.
pub(crate) fn table(header: &[&str], rows: Vec<Vec<String>>) -> Table {
    let mut table = Table::new();
    table.load_preset(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic).set_header(header);
    // Launchers give programs terminals without a size.
    if table.width().is_some_and(|width| width < NARROWEST) {
        table.set_content_arrangement(ContentArrangement::Disabled);
    }
    table.add_rows(rows);
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}

/// What one source holds: a row per number.
pub(crate) fn summary_table(name: &str, summary: &Summary) -> Table {
    let kept = summary.kept();
    let of = |count: usize| format!("{} of {}", grouped(count), grouped(kept));
    let optional = |value: Option<f64>, unit: &str| value.map_or("-".into(), |value| format!("{value:.3} {unit}"));
    let elements = summary.elements.iter().map(|(element, count)| format!("{element} {}", grouped(*count)));
    let elements: Vec<String> = elements.collect();
    let elements: Vec<String> = elements.chunks(ELEMENTS_OF_LINE).map(|some| some.join(", ")).collect();
    let mut rows = vec![
        ("frames".to_owned(), grouped(summary.frames)),
        ("atoms".into(), grouped(summary.atoms)),
        (
            "atoms per frame".into(),
            summary.atoms_per_frame.map_or("-".into(), |(low, high)| format!("{low} to {high}")),
        ),
        ("elements".into(), elements.join(",\n")),
        ("periodic".into(), of(summary.periodic)),
        ("with energy".into(), of(summary.with_energy)),
        ("with forces".into(), of(summary.with_forces)),
        ("with stress".into(), of(summary.with_stress)),
    ];
    rows.extend(summary.with_columns.iter().map(|(key, &count)| (format!("with {key}"), of(count))));
    rows.extend([
        ("force RMS".into(), optional(summary.force_rms, "eV/Å")),
        ("force maximum".into(), optional(summary.force_maximum, "eV/Å")),
        ("stress RMS".into(), summary.stress_rms.map_or("-".into(), |rms| format!("{:.3} meV/Å³", 1e3 * rms))),
        ("shortest distance".into(), summary.shortest_distance.map_or("above 4 Å".into(), |d| format!("{d:.3} Å"))),
        (
            "energy per atom".into(),
            summary.energy_per_atom.map_or("-".into(), |(low, high)| format!("{low:.3} to {high:.3} eV")),
        ),
    ]);
    for (fault, count) in &summary.faults {
        rows.push((format!("left out: {}", fault.words()), grouped(*count)));
    }
    let rows = rows.into_iter().map(|(key, value)| vec![key, value]).collect();
    table(&["source", name], rows)
}

/// The reference energies of one source, or what atoms contribute to another target.
pub(crate) fn reference_table(report: &ReferenceReport) -> Table {
    let ReferenceReport { target, unit, fit, given } = report;
    let row = |(element, value): (&Element, &f64)| {
        vec![element.to_string(), format!("{value:.4} {unit}").trim_end().to_owned()]
    };
    let mut rows: Vec<Vec<String>> = fit.references.0.iter().map(row).collect();
    let residual = match unit.as_str() {
        _ if fit.structures == 0 => "-".into(),
        "eV" => format!("{:.1} meV/atom", 1e3 * fit.residual_rms),
        unit => format!("{:.4} {unit}/atom", fit.residual_rms),
    };
    rows.push(vec!["residual RMS".into(), residual]);
    rows.push(vec!["determined".into(), format!("{} of {}", fit.rank, fit.references.0.len())]);
    let title = if target == "energy" { "reference energies".into() } else { format!("reference {target}") };
    table(&[&title, if *given { "given" } else { "fitted" }], rows)
}

/// What was measured beside the baseline; a dash where there was no label.
pub(crate) fn metrics_rows(metrics: &[Metric], found: &Metrics, baseline: &Metrics) -> Vec<Vec<String>> {
    let row = |metric: &Metric| {
        let (value, base) = (found.get(&metric.key), baseline.get(&metric.key));
        let shown = |value: Option<f64>| {
            value.map_or("-".into(), |value| format!("{} {}", metric.shown(value), metric.unit).trim_end().to_owned())
        };
        let base = base.filter(|_| metric.is_error);
        let share = value.zip(base).filter(|(_, base)| *base > 1e-9);
        let share = share.map(|(value, base)| 100.0 * value / base);
        // Beside labels that are all the same, any error is large.
        let share = share.map_or("-".into(), |share| match share {
            1000.0.. => "> 1000 %".into(),
            share => format!("{share:.1} %"),
        });
        vec![metric.name.clone(), shown(value), shown(base), share]
    };
    metrics.iter().map(row).collect()
}

/// A count with groups of three digits.
pub(crate) fn grouped(count: usize) -> String {
    indicatif::HumanCount(count as u64).to_string()
}

/// So many of something that has a regular plural.
pub(crate) fn counted(count: usize, what: &str) -> String {
    format!("{} {what}{}", grouped(count), if count == 1 { "" } else { "s" })
}

/// A rate in a few characters, ready for its unit: `143 k`, `27 `.
pub(crate) fn rate(value: f64) -> String {
    match value {
        v if v >= 1e9 => format!("{:.2} G", v / 1e9),
        v if v >= 1e6 => format!("{:.2} M", v / 1e6),
        v if v >= 1e4 => format!("{:.0} k", v / 1e3),
        v => format!("{v:.0} "),
    }
}

/// Bytes with a binary unit.
pub(crate) fn bytes(count: Option<u64>) -> String {
    count.map_or("unknown".into(), |count| indicatif::HumanBytes(count).to_string())
}
