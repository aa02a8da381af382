//! What recomputation saves and costs across widths, depths and densities: the cases, and their plot.

use isograd_engine::Recompute;
use isograd_ops::value::EdgeWork;
use isograd_train::{Error, Result};
use plotters::prelude::*;

use super::StepReport;

const SIZE: (u32, u32) = (1120, 900);
const INK: RGBColor = RGBColor(0x26, 0x2b, 0x33);
const GRID: RGBColor = RGBColor(0xe4, 0xe7, 0xec);

/// What is drawn: the way messages are made by colour, recomputation by dashes.
const LINES: [(&str, EdgeWork, Recompute, RGBColor); 4] = [
    ("composed", EdgeWork::Composed, Recompute::None, RGBColor(0xd9, 0x6b, 0x27)),
    ("composed, layer", EdgeWork::Composed, Recompute::Layer, RGBColor(0xd9, 0x6b, 0x27)),
    ("fused", EdgeWork::Fused, Recompute::None, RGBColor(0x1f, 0x5f, 0xa8)),
    ("fused, layer", EdgeWork::Fused, Recompute::Layer, RGBColor(0x1f, 0x5f, 0xa8)),
];

type Value = fn(&StepReport) -> f64;

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Internal(format!("drawing a plot: {error}"))
}

/// Peak memory and step time over the mean degree, for the deepest model of each width, and peak memory over
/// the number of layers, for the middle degree; a column for each width. All axes are logarithmic.
///
/// # Errors
/// [`Error::Internal`] if the plot cannot be drawn.
pub fn recompute_plot(reports: &[StepReport]) -> Result<String> {
    let widths = distinct(reports, |report| report.width);
    let degree = |report: &StepReport| report.edges / report.nodes;
    let Some(&deepest) = distinct(reports, |report| report.layers).last() else { return Ok(String::new()) };
    let degrees = distinct(reports, degree);
    let middle = degrees[degrees.len() / 2];
    let memory: Value = |report| report.peak_bytes.unwrap_or(0) as f64 / 1e6;
    let seconds: Value = |report| report.step_seconds_median;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE).map_err(failed)?;
        let panels = area.split_evenly((3, widths.len()));
        for (column, &width) in widths.iter().enumerate() {
            let of = |deep: bool| reports.iter().filter(move |r| r.width == width && (!deep || r.layers == deepest));
            let deep: Vec<&StepReport> = of(true).collect();
            let dense: Vec<&StepReport> = of(false).filter(|report| degree(report) == middle).collect();
            let by_degree: Value = |report| (report.edges / report.nodes) as f64;
            let by_layers: Value = |report| report.layers as f64;
            let title = format!("width {width}, {deepest} layers");
            panel(&panels[column], &title, ("mean degree", "peak, MB"), &deep, by_degree, memory)?;
            panel(&panels[widths.len() + column], &title, ("mean degree", "step, s"), &deep, by_degree, seconds)?;
            let title = format!("width {width}, degree {middle}");
            panel(&panels[2 * widths.len() + column], &title, ("layers", "peak, MB"), &dense, by_layers, memory)?;
        }
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

fn distinct(reports: &[StepReport], value: impl Fn(&StepReport) -> usize) -> Vec<usize> {
    let found: std::collections::BTreeSet<usize> = reports.iter().map(value).collect();
    found.into_iter().collect()
}

fn panel(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    title: &str,
    (x_label, y_label): (&str, &str),
    reports: &[&StepReport],
    x: Value,
    y: Value,
) -> Result<()> {
    let range = |value: Value| {
        let values = || reports.iter().map(|report| value(report));
        let (low, high) = (values().fold(f64::INFINITY, f64::min), values().fold(0.0, f64::max));
        0.8 * low..1.25 * high
    };
    let mut ticks: Vec<f64> = reports.iter().map(|report| x(report)).collect();
    ticks.sort_by(f64::total_cmp);
    ticks.dedup();
    let (x_range, y_range) = (range(x), range(y));
    let decades = (-4..7).flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)));
    let levels: Vec<f64> = decades.filter(|level| y_range.contains(level)).collect();
    let mut chart = ChartBuilder::on(area)
        .margin(8)
        .caption(title, ("sans-serif", 15, &INK))
        .x_label_area_size(34)
        .y_label_area_size(58)
        .build_cartesian_2d(x_range.log_scale().with_key_points(ticks), y_range.log_scale().with_key_points(levels))
        .map_err(failed)?;
    let label = |value: &f64| value.to_string();
    chart
        .configure_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .x_desc(x_label)
        .y_desc(y_label)
        .x_label_formatter(&label)
        .y_label_formatter(&label)
        .label_style(("sans-serif", 13, &INK))
        .draw()
        .map_err(failed)?;
    for (name, message, recompute, colour) in LINES {
        let mut points: Vec<(f64, f64)> = reports
            .iter()
            .filter(|report| report.message == message && report.recompute == recompute)
            .map(|report| (x(report), y(report)))
            .collect();
        points.sort_by(|a, b| a.0.total_cmp(&b.0));
        let style = colour.stroke_width(2);
        let dots = points.iter().map(|&point| Circle::new(point, 3, colour.filled())).collect::<Vec<_>>();
        let drawn = if recompute == Recompute::None {
            chart.draw_series(LineSeries::new(points, style)).map_err(failed)?
        } else {
            chart.draw_series(DashedLineSeries::new(points, 6, 5, style)).map_err(failed)?
        };
        let dashed = recompute != Recompute::None;
        drawn.label(name).legend(move |(x, y)| {
            let end = if dashed { x + 8 } else { x + 16 };
            PathElement::new([(x, y), (end, y)], style)
        });
        chart.draw_series(dots).map_err(failed)?;
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .label_font(("sans-serif", 12, &INK))
        .draw()
        .map_err(failed)
}
