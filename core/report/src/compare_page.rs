//! The page of a comparison: what runs came to, their curves in one colour each, and where their configs differ.

use isograd_tasks::Metric;
use isograd_train::run::LogLine;
use maud::{Markup, html};

use super::Result;
use super::compare::{Cell, ComparedRun, Comparison, Row};
use super::curves::{losses, thinned};
use super::document::{document, figure};
use super::format::{bytes, grouped};
use super::page::title;
use super::plots::{colour, courses};

pub(super) fn render(comparison: &Comparison) -> Result<String> {
    let name = format!("{} runs", comparison.runs.len());
    let body = html! {
        h1 { (name) " beside each other" }
        p.sub { "Errors on held-out structures are those of the best validation; in brackets, their share of the baseline's. \
                 Compared by isograd " (env!("CARGO_PKG_VERSION")) "." }
        @for warning in &comparison.warnings { p.warn { (warning) } }
        h2 { "What they came to" }
        (table("", &comparison.runs, &comparison.rows()))
        h2 { "Course of training" }
        (legend(&comparison.runs))
        (curves(comparison)?)
        h2 { "Where their configs differ" }
        @match comparison.differences.is_empty() {
            true => p { "Nowhere but in the place of results." }
            false => (table("key", &comparison.runs, &comparison.difference_rows()))
        }
    };
    Ok(document(&name, &body))
}

/// A run's colour, and its name.
fn named(place: usize, run: &ComparedRun) -> Markup {
    html! { i.key style=(format!("background:{}", colour(place))) {} (run.name) }
}

fn legend(runs: &[ComparedRun]) -> Markup {
    html! { p.legend { @for (place, run) in runs.iter().enumerate() { span { (named(place, run)) } " " } } }
}

/// A column for each run.
fn table(title: &str, runs: &[ComparedRun], rows: &[Row]) -> Markup {
    let cell = |cell: &Option<Cell>| match cell {
        None => "-".to_owned(),
        Some(Cell::Text(text)) => text.replace(" %", "\u{a0}%"),
        Some(Cell::Count(count)) => grouped(*count),
        Some(Cell::Bytes(count)) => bytes(*count),
    };
    html! {
        div.wide { table.runs {
            tr { th { (title) } @for (place, run) in runs.iter().enumerate() { th { (named(place, run)) } } }
            @for (name, cells) in rows { tr { td { (name) } @for own in cells { td { (cell(own)) } } } }
        } }
    }
}

/// Where a line of the log stands on an axis.
type Axis<'a> = &'a dyn Fn(&LogLine) -> f64;

/// Losses and errors, by epoch on the left and by time on the right.
fn curves(comparison: &Comparison) -> Result<Markup> {
    let runs = &comparison.runs;
    let longest = runs.iter().filter_map(|run| run.seconds).fold(0.0, f64::max);
    let (unit, seconds) = match longest {
        7200.0.. => ("hours", 3600.0),
        600.0.. => ("minutes", 60.0),
        _ => ("seconds", 1.0),
    };
    let epochs = |line: &LogLine| line.epoch;
    let time = |line: &LogLine| line.seconds / seconds;
    let axes: [(&str, &str, Axis<'_>); 2] = [("epoch", "by epoch", &epochs), (unit, "by time", &time)];
    let mut figures = Vec::new();
    for (label, by, over) in axes {
        let series: Vec<_> = runs.iter().map(|run| thinned(&losses(&run.lines, over))).collect();
        figures.push((0, figure(&format!("Training loss, {by}"), &courses(label, "loss", &series)?)));
        for (place, metric) in comparison.metrics.iter().filter(|metric| is_drawn(metric)).enumerate() {
            let point = |line: &LogLine| Some((over(line), line.validation.as_ref()?.get(&metric.key)?));
            let series: Vec<_> = runs.iter().map(|run| run.lines.iter().filter_map(point).collect()).collect();
            figures.push((
                1 + place,
                figure(&format!("{}, {by}", title(&metric.name)), &courses(label, &metric.unit, &series)?),
            ));
        }
    }
    // Both of a quantity beside each other; the order of axes stays.
    figures.sort_by_key(|(place, _)| *place);
    Ok(html! { div.plots { @for (_, figure) in &figures { (figure) } } })
}

/// What runs are compared by, and how often they are right.
fn is_drawn(metric: &Metric) -> bool {
    metric.is_scored() || !metric.is_error
}
