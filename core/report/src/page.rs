//! The page around the plots.

use isograd_equivariance::Precision;
use isograd_tasks::{Kind, Measure, Metric, Target};
use isograd_train::run::LogLine;
use isograd_train::{ReferenceReport, SourceReport};
use maud::{Markup, html};

use super::curves::losses;
use super::document::{document, figure};
use super::format::{bytes, grouped};
use super::plots::{Series, histogram, lines, parity};
use super::ranks::ranks;
use super::{Report, Result};

pub(super) fn render(report: &Report<'_>) -> Result<String> {
    let body = html! {
        h1 { (report.name) }
        p.sub { (subtitle(report)) }
        (cards(report))
        @for warning in &report.details.warnings { p.warn { (warning) } }
        h2 { "Predictions on held-out structures" }
        (predictions(report)?)
        h2 { "Course of training" }
        (course(report)?)
        @if report.summary.train.ranks.len() > 1 { (ranks(&report.summary.train.ranks)) }
        h2 { "Equivariance" }
        (equivariance(&report.details.equivariance))
        @if !report.details.sources.is_empty() {
            h2 { "Data" }
            (data(&report.details.sources))
            (errors_by_source(report))
            (references(&report.details.sources))
        }
        h2 { "Configuration" }
        details { summary { "config.toml, complete" } pre { (report.details.config) } }
    };
    Ok(document(report.name, &body))
}

fn subtitle(report: &Report<'_>) -> String {
    let model = &report.details.info.model;
    let number = |key: &str| model.options.get(key).and_then(|value| value.as_u64());
    let sizes = [("width ", "width", ""), ("", "layers", " layers")];
    let sizes = sizes.iter().filter_map(|(before, key, after)| Some(format!("{before}{}{after}, ", number(key)?)));
    format!(
        "{} graph neural network, {} parameters, {}cutoff {} Å{}; trained on {} with isograd {}",
        model.kind,
        grouped(report.summary.parameters),
        sizes.collect::<String>(),
        model.cutoff,
        report.details.info.forces_are().map_or(String::new(), |what| format!("; forces are {what}")),
        report.summary.device,
        env!("CARGO_PKG_VERSION")
    )
}

/// A number for a card or a table; a dash where there is none.
fn shown(value: Option<f64>, digits: usize) -> String {
    value.map_or("-".into(), |value| format!("{value:.digits$}"))
}

/// A value of a metric; a dash where there is none.
fn of(metric: &Metric, value: Option<f64>) -> String {
    value.map_or("-".into(), |value| metric.shown(value))
}

/// A name as a title.
pub(super) fn title(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().collect::<String>() + letters.as_str())
}

fn cards(report: &Report<'_>) -> Markup {
    let summary = report.summary;
    let (best, base) = (&summary.best.validation, &summary.baseline);
    let metrics = report.details.info.task.metrics();
    let against = |metric: &Metric| {
        let (value, base) = (best.get(&metric.key), base.get(&metric.key));
        let share = value.zip(base).filter(|(_, base)| *base > 1e-9).map(|(value, base)| 100.0 * value / base);
        html! {
            div.card {
                span { (title(&metric.name)) }
                b { (of(metric, value)) " " small { (metric.unit) } }
                span {
                    @match share {
                        Some(share) => { (shown(Some(share), 1)) " % of the baseline (" (of(metric, base)) ")" }
                        None => { "no baseline to compare with" }
                    }
                }
                @if let Some(share) = share { div.bar { i style=(format!("width:{:.1}%", share.clamp(0.5, 100.0))) {} } }
            }
        }
    };
    let others = metrics.iter().filter(|metric| metric.is_error && metric.measure == Measure::Rmse);
    let others: Vec<String> =
        others.map(|metric| format!("{} {} {}", metric.name, of(metric, best.get(&metric.key)), metric.unit)).collect();
    let train = &summary.train;
    html! {
        div.cards {
            @for metric in metrics.iter().filter(|metric| metric.is_scored()).rev() { (against(metric)) }
            @for metric in metrics.iter().filter(|metric| !metric.is_error) {
                div.card {
                    span { (title(&metric.name)) }
                    b { (shown(best.get(&metric.key), 4)) }
                    span { (others.join(", ")) }
                }
            }
            div.card {
                span { "Throughput" }
                b { (grouped(train.edges_per_second.round() as usize)) " " small { "edges/s" } }
                span { (format!("{:.2} % of the time waiting for data", 100.0 * train.data_wait_share)) }
            }
            div.card {
                span { "Training" }
                b { (format!("{:.0} s", train.seconds)) }
                span { (grouped(train.steps)) " steps, " (train.epochs) " epochs, best at step " (grouped(summary.best.step)) }
            }
            div.card {
                span { "Peak memory" }
                b { (train.peak_bytes.map_or("unknown".into(), bytes)) }
                span { "held at once on " (summary.device) }
            }
        }
    }
}

fn predictions(report: &Report<'_>) -> Result<Markup> {
    let targets = &report.details.info.task.targets;
    // All of a kind beside each other, because they are equally high.
    let (mut parities, mut histograms) = (Vec::new(), Vec::new());
    for (place, target) in targets.iter().enumerate().rev().filter(|(_, target)| !matches!(target.kind, Kind::Class(_)))
    {
        let samples = &report.details.tally.target(place).samples;
        let milli: Vec<f64> = samples.iter().map(|pair| 1e3 * (pair[1] - pair[0])).collect();
        let unit = unit(target);
        let name = title(&target.name);
        parities.push(figure(&name, &parity(&unit, samples)?));
        histograms.push(figure(
            &format!("{name}, errors"),
            &histogram(format!("prediction - label, 10⁻³ {unit}").trim_end(), &milli)?,
        ));
    }
    Ok(html! { div.plots { @for figure in parities.iter().chain(&histograms) { (figure) } } })
}

/// The unit of what is compared: of an extensive target per node.
fn unit(target: &Target) -> String {
    let per = if target.extensive { "/atom" } else { "" };
    format!("{}{per}", target.unit)
}

fn course(report: &Report<'_>) -> Result<Markup> {
    let all = report.lines;
    let over = |value: &dyn Fn(&LogLine) -> Option<f64>| -> Vec<(f64, f64)> {
        all.iter().filter_map(|line| Some((line.epoch, value(line)?))).collect()
    };
    let range = (0.0, all.last().map_or(1.0, |line| line.epoch));
    let base = &report.summary.baseline;
    let validation = |metric: &Metric| {
        let of = |metrics: &isograd_tasks::Metrics| metrics.get(&metric.key);
        let mut series = vec![Series::new("validation", over(&|line| line.validation.as_ref().and_then(of)))];
        if all.iter().any(|line| line.validation_raw.is_some()) {
            series[0].name = "averaged weights".into();
            series.push(Series::new("raw weights", over(&|line| line.validation_raw.as_ref().and_then(of))));
        }
        series.extend(base.get(&metric.key).map(|level| Series::level("baseline", level, range)));
        lines("epoch", &metric.unit, &series, true)
    };
    let metrics = report.details.info.task.metrics();
    let mut courses = Vec::new();
    for metric in metrics.iter().rev().filter(|metric| metric.is_scored()) {
        courses.push(figure(&format!("{} on held-out structures", title(&metric.name)), &validation(metric)?));
    }
    let one = |name, value: &dyn Fn(&LogLine) -> Option<f64>| [Series::new(name, over(value))];
    let memory = one("memory", &|line| line.peak_bytes.map(|bytes| bytes as f64 / (1 << 20) as f64));
    Ok(html! {
        div.plots {
            (figure("Training loss", &lines("epoch", "loss", &[Series::new("loss", losses(all, |line| line.epoch))], true)?))
            (figure("Learning rate", &lines("epoch", "learning rate", &one("rate", &|line| Some(line.learning_rate)), false)?))
            @for course in courses { (course) }
            (figure("Throughput", &lines("epoch", "edges/s", &one("edges", &|line| Some(line.edges_per_second)), false)?))
            (figure("Peak memory", &lines("epoch", "MiB", &memory, false)?))
        }
    })
}

/// A line per property, with one column per output.
fn equivariance(report: &isograd_equivariance::Report) -> Markup {
    let mut outputs: Vec<&str> = Vec::new();
    let mut properties: Vec<&str> = Vec::new();
    for row in &report.rows {
        if !outputs.contains(&row.output.as_str()) {
            outputs.push(&row.output);
        }
        if !properties.contains(&row.transformation.as_str()) {
            properties.push(&row.transformation);
        }
    }
    let number = |value: f64| if value.is_finite() { format!("{value:.1e}") } else { "no answer".into() };
    html! {
        p.sub {
            @if report.passed { "Passed" } @else { "Failed" }
            (format!(
                ": {} cases per property. Errors are relative to the size of the output; the limit is 8 times the noise \
                 floor of that very case, {} arithmetic. The worst case is the one nearest to its limit.",
                report.cases,
                match report.precision { Precision::F32 => "single", Precision::F64 => "double" }
            ))
        }
        table {
            tr {
                th { "property" }
                @for output in &outputs { th { (output) ", worst case" } th { "its limit" } th { "" } }
            }
            @for property in properties {
                tr {
                    td { (property) }
                    @for output in &outputs {
                        @match report.row(property, output) {
                            Some(row) => {
                                td { (number(row.error)) } td { (number(row.tolerance)) }
                                td { @if row.passed { "pass" } @else { b.fail { "FAIL" } } }
                            }
                            None => { td { "-" } td { "-" } td {} }
                        }
                    }
                }
            }
        }
    }
}

fn data(sources: &[SourceReport]) -> Markup {
    let range = |range: Option<(f64, f64)>| range.map_or("-".into(), |(low, high)| format!("{low:.2} to {high:.2}"));
    let number = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.3}"));
    html! {
        table {
            tr {
                th { "source" } th { "frames" } th { "training" } th { "validation" } th { "atoms" } th { "elements" }
                th { "energies" } th { "forces" } th { "stresses" } th { "force RMS, eV/Å" } th { "max |F|" }
                th { "shortest, Å" } th { "eV/atom" }
            }
            @for source in sources {
                @let summary = &source.summary;
                tr {
                    td { (source.name) }
                    td { (grouped(summary.frames)) } td { (grouped(source.training)) } td { (grouped(source.validation)) }
                    td { (grouped(summary.atoms)) }
                    td { (summary.elements.keys().map(|element| element.symbol()).collect::<Vec<_>>().join(" ")) }
                    td { (grouped(summary.with_energy)) } td { (grouped(summary.with_forces)) } td { (grouped(summary.with_stress)) }
                    td { (number(summary.force_rms)) } td { (number(summary.force_maximum)) }
                    td { (number(summary.shortest_distance)) } td { (range(summary.energy_per_atom)) }
                }
            }
        }
    }
}

/// The errors on the held-out structures of each source, where there are several.
fn errors_by_source(report: &Report<'_>) -> Markup {
    let by_source = &report.details.by_source;
    let metrics = report.details.info.task.metrics();
    html! {
        @if !by_source.is_empty() {
            h2 { "Errors by source" }
            table {
                tr { th { "source" } @for metric in &metrics { th { (title(&metric.name)) " " (metric.unit) } } }
                @for (name, found) in &by_source.0 {
                    tr { td { (name) } @for metric in &metrics { td { (of(metric, found.get(&metric.key))) } } }
                }
            }
        }
    }
}

/// What atoms contribute to energies and other extensive targets.
fn references(sources: &[SourceReport]) -> Markup {
    let all = sources.iter().flat_map(|source| source.references.iter().map(move |own| (source, own)));
    html! {
        @for (source, ReferenceReport { target, unit, fit, given }) in all {
            h2 { "Reference " (plural(target)) }
            p.sub {
                (source.name) ": " (if *given { "given" } else { "least squares on the training part" })
                (format!(", residual RMS {:.4} {unit}/atom, rank {} of {}", fit.residual_rms, fit.rank, fit.references.0.len()))
            }
            table {
                tr { th { "element" } @for element in fit.references.0.keys() { th { (element.symbol()) } } }
                tr { td { (unit) } @for value in fit.references.0.values() { td { (format!("{value:.4}")) } } }
            }
        }
    }
}

fn plural(name: &str) -> String {
    if name == "energy" { "energies".into() } else { name.to_owned() }
}
