//! The page of an audit: what was found, and how data are distributed.

use isograd_data::audit::{Audit, AuditedSource, Finding, Severity, Slope};
use maud::{Markup, html};

use super::Result;
use super::document::{document, figure};
use super::format::grouped;
use super::plots::{against, distribution, histogram};

pub(super) fn render(name: &str, audit: &Audit) -> Result<String> {
    let body = html! {
        h1 { "Audit" }
        p.sub { (subtitle(name, audit)) }
        (cards(audit))
        h2 { "Findings" }
        (findings(&audit.findings))
        h2 { "Sources" }
        (sources(&audit.sources))
        @if !audit.copies.is_empty() {
            h2 { "Copies" }
            (copies(audit))
        }
        @for source in &audit.sources { (plots(source)?) }
        (elements(&audit.sources))
    };
    Ok(document(name, &body))
}

fn subtitle(name: &str, audit: &Audit) -> String {
    let sources = match audit.sources.len() {
        1 => "one source".to_owned(),
        count => format!("{count} sources"),
    };
    format!("{name}: {} frames of {sources}, looked at by isograd {}", grouped(audit.frames), env!("CARGO_PKG_VERSION"))
}

fn cards(audit: &Audit) -> Markup {
    let count = |severity| audit.findings.iter().filter(|finding| finding.severity == severity).count();
    let copies: usize = audit.copies.iter().map(|copies| copies.same).sum();
    let atoms: usize = audit.sources.iter().map(|source| source.summary.atoms).sum();
    let held_out: usize = audit.sources.iter().map(|source| source.held_out).sum();
    let training: usize = audit.sources.iter().map(|source| source.training).sum();
    html! {
        div.cards {
            div.card {
                span { "Verdict" }
                b { (if count(Severity::Error) > 0 { "not fit" } else if count(Severity::Warning) > 0 { "to be looked at" } else { "sound" }) }
                span { (count(Severity::Error)) " errors, " (count(Severity::Warning)) " warnings, " (count(Severity::Note)) " notes" }
            }
            div.card { span { "Frames" } b { (grouped(audit.frames)) } span { (grouped(atoms)) " atoms in those that can be trusted" } }
            div.card {
                span { "Copies" } b { (grouped(copies)) }
                span { "frames that are there already" }
            }
            div.card {
                span { "Better left out" } b { (grouped(audit.left_out)) }
                span { "frames: not to be trusted, copies, contradictions, energies far off" }
            }
            @if held_out > 0 {
                div.card { span { "Held out" } b { (grouped(held_out)) } span { "beside " (grouped(training)) " to train on" } }
            }
        }
    }
}

fn findings(findings: &[Finding]) -> Markup {
    html! {
        @if findings.is_empty() { p { "Nothing was found." } }
        @for finding in findings {
            div.finding.(finding.severity.to_string()) {
                p { b { (finding.kind.replace('_', " ")) } @if let Some(source) = &finding.source { ", " (source) } ": " (finding.says) "." }
                @if let Some(remedy) = &finding.remedy { p { "Remedy: " code { (remedy) } } }
                @if !finding.worst.is_empty() {
                    details {
                        summary { "The worst frames" }
                        table {
                            @for worst in &finding.worst {
                                tr {
                                    td { (worst.place) }
                                    td { (worst.beside.as_deref().unwrap_or("")) }
                                    td { (worst.value.map_or(String::new(), |value| format!("{value:.4} {}", worst.unit))) }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".into(), |value| format!("{value:.digits$}"))
}

/// A slope, and of how many pairs; one that is not followed says nothing.
fn slope(slope: Option<Slope>) -> String {
    match slope {
        None => "-".into(),
        Some(Slope { slope, agreement, .. }) if agreement.abs() < 0.5 => format!("{slope:.2} (not followed)"),
        Some(Slope { slope, pairs, .. }) => format!("{slope:.3} ({} pairs)", grouped(pairs)),
    }
}

fn sources(sources: &[AuditedSource]) -> Markup {
    html! {
        div.wide { table {
            tr {
                th { "source" } th { "frames" } th { "trusted" } th { "atoms a frame" } th { "energies" } th { "forces" } th { "stresses" }
                th { "energy spread, meV/atom" } th { "force RMS, eV/Å" } th { "shortest, Å" }
                th { "energies over forces" } th { "over stresses" } th { "label noise, meV/atom" }
            }
            @for source in sources {
                @let summary = &source.summary;
                tr {
                    td { (source.name) }
                    td { (grouped(summary.frames)) } td { (grouped(summary.kept())) }
                    td { (summary.atoms_per_frame.map_or("-".into(), |(low, high)| format!("{low} to {high}"))) }
                    td { (grouped(summary.with_energy)) } td { (grouped(summary.with_forces)) } td { (grouped(summary.with_stress)) }
                    td { (number(source.energy_deviation.map(|own| 1e3 * own), 1)) }
                    td { (number(summary.force_rms, 3)) } td { (number(summary.shortest_distance, 3)) }
                    td { (slope(source.forces)) } td { (slope(source.stresses)) }
                    td { (number(source.label_noise.map(|own| 1e3 * own), 3)) }
                }
            }
        } }
        p.sub {
            "Energies over forces: by how much energies of near frames differ, over what forces say; 1 where both belong together. \
             Label noise: how much energies of equal structures differ, as a standard deviation."
        }
    }
}

fn copies(audit: &Audit) -> Markup {
    html! {
        table {
            tr { th { "frames of" } th { "with a copy in" } th { "the same structure" } th { "nearly the same" } }
            @for copies in &audit.copies {
                tr { td { (copies.of) } td { (copies.within) } td { (grouped(copies.same)) } td { (grouped(copies.near)) } }
            }
        }
    }
}

fn plots(source: &AuditedSource) -> Result<Markup> {
    let drawn = &source.distributions;
    let milli: Vec<f64> = drawn.energies.iter().map(|value| 1e3 * value).collect();
    let mut figures = Vec::new();
    if !drawn.force_pairs.is_empty() {
        let titles = ("what forces say, eV/Å", "energies between near frames, eV/Å");
        figures.push(figure("Energies beside forces", &against(titles, &drawn.force_pairs)?));
    }
    if !drawn.stress_pairs.is_empty() {
        let titles = ("what stresses say, eV/atom", "energies between other volumes, eV/atom");
        figures.push(figure("Energies beside stresses", &against(titles, &drawn.stress_pairs)?));
    }
    for (title, label, values) in [
        ("Energies", "energy less references, meV/atom", &milli),
        ("Largest force component", "eV/Å", &drawn.forces),
        ("Shortest distance", "Å", &drawn.shortest),
        ("Atoms of a frame", "atoms", &drawn.atoms),
    ] {
        let draw = if title == "Energies" { histogram } else { distribution };
        if !values.is_empty() {
            figures.push(figure(title, &draw(label, values)?));
        }
    }
    Ok(html! {
        h2 { (source.name) }
        div.plots { @for figure in &figures { (figure) } }
    })
}

/// How many atoms of each element each source has.
fn elements(sources: &[AuditedSource]) -> Markup {
    let all: std::collections::BTreeSet<_> = sources.iter().flat_map(|source| source.summary.elements.keys()).collect();
    html! {
        h2 { "Elements" }
        div.wide { table {
            tr { th { "atoms in" } @for element in &all { th { (element.symbol()) } } }
            @for source in sources {
                tr {
                    td { (source.name) }
                    @for element in &all { td { (source.summary.elements.get(element).map_or("-".into(), |count| grouped(*count))) } }
                }
            }
        } }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use isograd_data::Source;
    use isograd_data::audit::{AuditOptions, Auditor};

    #[test]
    fn a_page_names_findings_sources_and_remedies() {
        let frame = |k: usize, energy: f64| format!("2\nenergy={energy}\nH 0 0 0\nO 0 0 {}\n", 1.0 + 0.01 * k as f64);
        let mut text: String = (0..40).map(|k| frame(k, -5.0 + 0.001 * (k as f64).powi(2))).collect();
        text += &frame(41, -900.0);
        text += &frame(3, -5.0 + 0.009);
        let mut auditor = Auditor::new(AuditOptions::default());
        let source = auditor.source("hydroxyl <radicals>", Default::default());
        let all = Source::default().read(text.as_bytes(), "oh.xyz");
        auditor.read(source, "oh.xyz", false, all, &mut |_| {}).unwrap();
        let page = render("oh.xyz", &Audit::of(auditor)).unwrap();
        for expected in [
            "energy outlier",
            "hydroxyl &lt;radicals&gt;",
            "oh.xyz: frame 40",
            "copies",
            "--write CLEAN",
            "to be looked at",
        ] {
            assert!(page.contains(expected), "{expected}: {page}");
        }
        let nothing = render("nothing", &Audit::of(Auditor::new(AuditOptions::default()))).unwrap();
        assert!(nothing.contains("Nothing was found"));
    }
}
