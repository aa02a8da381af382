//! The page around the plots.

use isograd_equivariance::Precision;
use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Report;
use super::plots::{Series, histogram, lines, parity};
use super::ranks::ranks;
use crate::Result;
use crate::run::LogLine;
use crate::train::SourceReport;

const STYLE: &str = "
:root { color: #262b33; background: #f6f7f9; font: 15px/1.5 system-ui, 'Segoe UI', Helvetica, Arial, sans-serif; }
body { max-width: 1180px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 28px; margin: 0; } h2 { font-size: 19px; margin: 40px 0 12px; }
.sub { color: #667080; margin: 4px 0 24px; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); gap: 14px; }
.card, figure, table, details { background: #fff; border: 1px solid #e4e7ec; border-radius: 8px; }
.card { padding: 14px 18px; } .card b { display: block; font-size: 23px; font-weight: 650; white-space: nowrap; }
.card small { font-size: 15px; font-weight: 500; }
.card span { color: #667080; font-size: 13px; display: block; }
.bar { height: 6px; background: #e4e7ec; border-radius: 3px; margin-top: 8px; overflow: hidden; }
.bar i { display: block; height: 100%; background: #1f5fa8; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); gap: 14px; }
figure { margin: 0; padding: 12px; } figure svg { width: 100%; height: auto; }
figcaption { font-weight: 600; margin: 2px 6px 4px; }
table { border-collapse: separate; border-spacing: 0; width: 100%; overflow: hidden; }
th, td { padding: 7px 14px; text-align: right; border-bottom: 1px solid #eef0f3; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; } th { color: #667080; font-weight: 600; font-size: 13px; }
tr:last-child td { border-bottom: 0; } .warn { border-left: 4px solid #d96b27; padding: 8px 14px; background: #fff; margin: 6px 0; }
.fail { color: #c0392b; }
details { padding: 10px 16px; } pre { overflow-x: auto; font-size: 13px; margin: 8px 0 0; }
";

pub(super) fn render(report: &Report<'_>) -> Result<String> {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Isograd: " (report.name) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (report.name) }
                p.sub { (subtitle(report)) }
                (cards(report))
                @for warning in report.warnings { p.warn { (warning) } }
                h2 { "Predictions on held-out structures" }
                (predictions(report)?)
                h2 { "Course of training" }
                (course(report)?)
                @if report.summary.train.ranks.len() > 1 { (ranks(&report.summary.train.ranks)) }
                h2 { "Equivariance" }
                (equivariance(report.equivariance))
                h2 { "Data" }
                (data(report.sources))
                h2 { "Reference energies" }
                (references(report.sources))
                h2 { "Configuration" }
                details { summary { "config.toml, complete" } pre { (report.config) } }
            }
        }
    };
    Ok(page.into_string())
}

fn subtitle(report: &Report<'_>) -> String {
    let model = &report.info.model;
    format!(
        "E(n)-equivariant graph neural network, {} parameters, width {}, {} layers, cutoff {} Å; trained on {} with isograd {}",
        grouped(report.summary.parameters),
        model.width,
        model.layers,
        model.cutoff,
        report.summary.device,
        env!("CARGO_PKG_VERSION")
    )
}

fn cards(report: &Report<'_>) -> Markup {
    let summary = report.summary;
    let (best, base) = (&summary.best.validation, &summary.baseline);
    let share = |value: f64, of: f64| if of > 0.0 { 100.0 * value / of } else { 0.0 };
    let against = |title: &str, value: f64, base: f64, unit: &str, what: &str| {
        let share = share(value, base);
        html! {
            div.card {
                span { (title) }
                b { (format!("{value:.1}")) " " small { (unit) } }
                span { (format!("{share:.1} % of the {what} baseline ({base:.0})")) }
                div.bar { i style=(format!("width:{:.1}%", share.clamp(0.5, 100.0))) {} }
            }
        }
    };
    let train = &summary.train;
    html! {
        div.cards {
            (against("Force MAE", best.force_mae_mev_per_angstrom, base.force_mae_mev_per_angstrom, "meV/Å", "zero-force"))
            (against("Energy MAE", best.energy_mae_mev_per_atom, base.energy_mae_mev_per_atom, "meV/atom", "reference-energy"))
            div.card {
                span { "Force cosine" }
                b { (format!("{:.4}", best.force_cosine)) }
                span { (format!("force RMSE {:.0} meV/Å, energy RMSE {:.1} meV/atom", best.force_rmse_mev_per_angstrom, best.energy_rmse_mev_per_atom)) }
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

fn figure(caption: &str, svg: &str) -> Markup {
    html! { figure { figcaption { (caption) } (PreEscaped(svg)) } }
}

fn predictions(report: &Report<'_>) -> Result<Markup> {
    let tally = report.tally;
    let milli = |pairs: &[[f64; 2]]| pairs.iter().map(|pair| 1e3 * (pair[1] - pair[0])).collect::<Vec<_>>();
    Ok(html! {
        div.plots {
            (figure("Forces", &parity("eV/Å per component", &tally.force_samples)?))
            (figure("Energies without reference energies", &parity("eV/atom", &tally.energy_samples)?))
            (figure("Force errors", &histogram("prediction - label, meV/Å", &milli(&tally.force_samples))?))
            (figure("Energy errors", &histogram("prediction - label, meV/atom", &milli(&tally.energy_samples))?))
        }
    })
}

/// Losses by epoch, without those that are means of far fewer steps than others: a line at the end of an epoch may be
/// of a single one.
fn losses(lines: &[LogLine]) -> Vec<(f64, f64)> {
    let before = std::iter::once(0).chain(lines.iter().map(|line| line.step));
    let steps: Vec<usize> = lines.iter().zip(before).map(|(line, before)| line.step.saturating_sub(before)).collect();
    let most = steps.iter().copied().max().unwrap_or(0);
    lines.iter().zip(steps).filter(|(_, steps)| 2 * steps >= most).map(|(line, _)| (line.epoch, line.loss)).collect()
}

fn course(report: &Report<'_>) -> Result<Markup> {
    let all = report.lines;
    let over = |value: &dyn Fn(&LogLine) -> Option<f64>| -> Vec<(f64, f64)> {
        all.iter().filter_map(|line| Some((line.epoch, value(line)?))).collect()
    };
    let range = (0.0, all.last().map_or(1.0, |line| line.epoch));
    let base = &report.summary.baseline;
    let validation = |baseline: f64, name: &str, value: fn(&crate::train::Metrics) -> f64| {
        let mut series = vec![Series::new("validation", over(&|line| line.validation.as_ref().map(value)))];
        if all.iter().any(|line| line.validation_raw.is_some()) {
            series[0].name = "averaged weights".into();
            series.push(Series::new("raw weights", over(&|line| line.validation_raw.as_ref().map(value))));
        }
        series.push(Series::level(&format!("{name} baseline"), baseline, range));
        series
    };
    let forces = validation(base.force_mae_mev_per_angstrom, "zero-force", |m| m.force_mae_mev_per_angstrom);
    let energies = validation(base.energy_mae_mev_per_atom, "reference", |m| m.energy_mae_mev_per_atom);
    let one = |name, value: &dyn Fn(&LogLine) -> Option<f64>| [Series::new(name, over(value))];
    let memory = one("memory", &|line| line.peak_bytes.map(|bytes| bytes as f64 / (1 << 20) as f64));
    Ok(html! {
        div.plots {
            (figure("Training loss", &lines("epoch", "loss", &[Series::new("loss", losses(all))], true)?))
            (figure("Learning rate", &lines("epoch", "learning rate", &one("rate", &|line| Some(line.learning_rate)), false)?))
            (figure("Force MAE on held-out structures", &lines("epoch", "meV/Å", &forces, true)?))
            (figure("Energy MAE on held-out structures", &lines("epoch", "meV/atom", &energies, true)?))
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

fn references(sources: &[SourceReport]) -> Markup {
    html! {
        @for source in sources {
            p.sub {
                (source.name) ": " (if source.given { "given" } else { "least squares on the training part" })
                (format!(", residual RMS {:.1} meV/atom, rank {} of {}", 1e3 * source.fit.residual_rms, source.fit.rank, source.fit.references.0.len()))
            }
            table {
                tr { th { "element" } @for element in source.fit.references.0.keys() { th { (element.symbol()) } } }
                tr { td { "eV" } @for energy in source.fit.references.0.values() { td { (format!("{energy:.4}")) } } }
            }
        }
    }
}

/// A count with thin groups of three digits.
pub(super) fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// Bytes with a binary unit.
pub(super) fn bytes(count: u64) -> String {
    let mib = count as f64 / (1u64 << 20) as f64;
    if mib < 10.0 {
        format!("{mib:.2}\u{a0}MiB")
    } else if mib < 1024.0 {
        format!("{mib:.0}\u{a0}MiB")
    } else {
        format!("{:.2}\u{a0}GiB", mib / 1024.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_and_bytes_read_well() {
        assert_eq!(grouped(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(grouped(12), "12");
        assert_eq!(bytes(3 << 19), "1.50\u{a0}MiB");
        assert_eq!(bytes(12 << 20), "12\u{a0}MiB");
        assert_eq!(bytes(5 << 29), "2.50\u{a0}GiB");
    }

    #[test]
    fn losses_of_few_steps_are_left_out() {
        let line = |step: usize| LogLine {
            step,
            epoch: step as f64,
            seconds: 0.0,
            loss: 2.0 * step as f64,
            learning_rate: 0.0,
            gradient_norm: 0.0,
            edges_per_second: 0.0,
            atoms_per_second: 0.0,
            peak_bytes: None,
            validation: None,
            validation_raw: None,
        };
        // Validations after 100 and 101 steps.
        let found = losses(&[50, 100, 100, 101, 150].map(line));
        assert_eq!(found, [(50.0, 100.0), (100.0, 200.0), (150.0, 300.0)]);
        assert!(losses(&[]).is_empty());
    }
}
