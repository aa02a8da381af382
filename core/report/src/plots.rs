//! The plots of the report, as SVG.

use std::ops::Range;

use plotters::prelude::*;

use crate::{Error, Result};

const SIZE: (u32, u32) = (560, 340);
const SQUARE: (u32, u32) = (420, 400);
const INK: RGBColor = RGBColor(0x26, 0x2b, 0x33);
const GRID: RGBColor = RGBColor(0xe4, 0xe7, 0xec);
const GREY: RGBColor = RGBColor(0x8a, 0x93, 0xa0);
const COLOURS: [RGBColor; 10] = [
    RGBColor(0x1f, 0x5f, 0xa8),
    RGBColor(0xd9, 0x6b, 0x27),
    RGBColor(0x2a, 0x94, 0x5b),
    RGBColor(0xc0, 0x39, 0x2b),
    RGBColor(0x7d, 0x4f, 0xb0),
    RGBColor(0x17, 0xa5, 0xb8),
    RGBColor(0xd1, 0x4f, 0x98),
    RGBColor(0x9a, 0x86, 0x1c),
    RGBColor(0x6b, 0x4a, 0x36),
    RGBColor(0x5b, 0x66, 0x75),
];

/// The colour of the series at a place, as style sheets write it.
pub(super) fn colour(place: usize) -> String {
    let RGBColor(red, green, blue) = COLOURS[place % COLOURS.len()];
    format!("#{red:02x}{green:02x}{blue:02x}")
}

/// A line; one without a name is in no legend. `dashed` marks a level to compare with.
#[derive(Clone)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, f64)>,
    pub(super) dashed: bool,
}

impl Series {
    pub(super) fn new(name: &str, points: Vec<(f64, f64)>) -> Self {
        Self { name: name.into(), points, dashed: false }
    }

    pub(super) fn level(name: &str, y: f64, range: (f64, f64)) -> Self {
        Self { name: name.into(), points: vec![(range.0, y), (range.1, y)], dashed: true }
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Plot(error.to_string())
}

/// Lines over a shared x axis; logarithmic in y where `log` is set and all values are positive.
pub(super) fn lines(x_label: &str, y_label: &str, series: &[Series], log: bool) -> Result<String> {
    let points = || series.iter().flat_map(|series| &series.points).copied().filter(|p| p.1.is_finite());
    let x = padded(points().map(|p| p.0), 0.0);
    let log = log && points().all(|p| p.1 > 0.0) && points().next().is_some();
    // A logarithmic axis is drawn as a linear one of logarithms, which always has several labels.
    let drawn: Vec<Series> = series
        .iter()
        .map(|series| Series {
            points: series.points.iter().map(|p| if log { (p.0, p.1.log10()) } else { *p }).collect(),
            ..series.clone()
        })
        .collect();
    let values = || drawn.iter().flat_map(|series| &series.points).map(|p| p.1);
    let y = if log { padded(values(), 0.06) } else { padded(values().chain([0.0]), 0.06) };
    let label = move |v: &f64| short(if log { 10f64.powf(*v) } else { *v });
    draw_lines((x_label, y_label), &drawn, x, y, &label)
}

/// A line for each of several runs, in the colour of its place, without a legend; logarithmic in y where all values are
/// positive.
pub(super) fn courses(x_label: &str, y_label: &str, runs: &[Vec<(f64, f64)>]) -> Result<String> {
    let series: Vec<Series> = runs.iter().map(|points| Series::new("", points.clone())).collect();
    lines(x_label, y_label, &series, true)
}

fn draw_lines(
    labels: (&str, &str),
    series: &[Series],
    x: Range<f64>,
    y: Range<f64>,
    y_label: &dyn Fn(&f64) -> String,
) -> Result<String> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(10)
            .x_label_area_size(38)
            .y_label_area_size(62)
            .build_cartesian_2d(x, y)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(INK)
            .x_desc(labels.0)
            .y_desc(labels.1)
            .x_labels(7)
            .y_labels(7)
            .x_label_formatter(&|v| short(*v))
            .y_label_formatter(y_label)
            .label_style(("sans-serif", 15, &INK))
            .draw()
            .map_err(failed)?;
        for (series, colour) in series.iter().zip(COLOURS.iter().cycle()) {
            let colour = if series.dashed { GREY } else { *colour };
            let points: Vec<(f64, f64)> = series.points.iter().copied().filter(|p| p.1.is_finite()).collect();
            let style = colour.stroke_width(2);
            if let [alone] = points[..] {
                chart.draw_series([Circle::new(alone, 3, colour.filled())]).map_err(failed)?;
            }
            let drawn = if series.dashed {
                chart.draw_series(DashedLineSeries::new(points, 6, 5, style)).map_err(failed)?
            } else {
                chart.draw_series(LineSeries::new(points, style)).map_err(failed)?
            };
            if !series.name.is_empty() {
                drawn.label(&series.name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], style));
            }
        }
        if series.iter().filter(|series| !series.name.is_empty()).count() > 1 {
            chart
                .configure_series_labels()
                .position(SeriesLabelPosition::UpperRight)
                .background_style(WHITE.mix(0.85))
                .border_style(GRID)
                .label_font(("sans-serif", 14, &INK))
                .draw()
                .map_err(failed)?;
        }
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

/// What an axis shows, with its unit where it has one.
fn titled(name: &str, unit: &str) -> String {
    if unit.is_empty() { name.to_owned() } else { format!("{name}, {unit}") }
}

/// A place on an axis; zero where rounding alone keeps it from that.
fn of_span(value: f64, range: &std::ops::Range<f64>) -> f64 {
    if value.abs() < 1e-9 * (range.end - range.start) { 0.0 } else { value }
}

/// Predictions against labels, with the diagonal.
pub(super) fn parity(label: &str, pairs: &[[f64; 2]]) -> Result<String> {
    against((&titled("label", label), &titled("prediction", label)), pairs)
}

/// Pairs of numbers that should be equal, with the diagonal; what the axes show is `titles`.
pub(super) fn against(titles: (&str, &str), pairs: &[[f64; 2]]) -> Result<String> {
    let range = padded(pairs.iter().flatten().copied(), 0.04);
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SQUARE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(10)
            .x_label_area_size(38)
            .y_label_area_size(58)
            .build_cartesian_2d(range.clone(), range.clone())
            .map_err(failed)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(INK)
            .x_desc(titles.0)
            .y_desc(titles.1)
            .x_labels(6)
            .y_labels(6)
            .x_label_formatter(&|v| short(of_span(*v, &range)))
            .y_label_formatter(&|v| short(of_span(*v, &range)))
            .label_style(("sans-serif", 15, &INK))
            .draw()
            .map_err(failed)?;
        let dots = pairs.iter().map(|pair| Circle::new((pair[0], pair[1]), 2, COLOURS[0].mix(0.28).filled()));
        chart.draw_series(dots).map_err(failed)?;
        let diagonal = [(range.start, range.start), (range.end, range.end)];
        chart.draw_series(LineSeries::new(diagonal, COLOURS[1].stroke_width(1))).map_err(failed)?;
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

/// How often each error occurs; the outermost bins hold everything beyond.
pub(super) fn histogram(label: &str, errors: &[f64]) -> Result<String> {
    let mut sizes: Vec<f64> = errors.iter().map(|error| error.abs()).collect();
    sizes.sort_by(f64::total_cmp);
    // Almost all errors lie within; a few outliers must not squeeze the rest into one bin.
    let limit = sizes.get(sizes.len() * 99 / 100).copied().unwrap_or(1.0).max(1e-9);
    bins(label, errors, -limit..limit)
}

/// How often each value occurs; the outermost bins hold the half per cent of values on either side.
pub(super) fn distribution(label: &str, values: &[f64]) -> Result<String> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let last = sorted.len().saturating_sub(1);
    let within = sorted.get(last / 200..=last - last / 200).unwrap_or_default();
    bins(label, values, padded(within.iter().copied(), 0.02))
}

/// Bars over a range; the outermost hold everything beyond.
fn bins(label: &str, values: &[f64], range: Range<f64>) -> Result<String> {
    const BINS: usize = 60;
    let span = range.end - range.start;
    let mut counts = [0usize; BINS];
    for value in values {
        let place = (value - range.start) / span * BINS as f64;
        counts[(place.clamp(0.0, BINS as f64 - 1.0)) as usize] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(1).max(1) as f64;
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        let mut chart = ChartBuilder::on(&area)
            .margin(10)
            .x_label_area_size(38)
            .y_label_area_size(62)
            .build_cartesian_2d(range.clone(), 0.0..most * 1.08)
            .map_err(failed)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(INK)
            .x_desc(label)
            .y_desc("count")
            .x_labels(7)
            .y_labels(6)
            .x_label_formatter(&|v| short(of_span(*v, &range)))
            .y_label_formatter(&|v| short(*v))
            .label_style(("sans-serif", 15, &INK))
            .draw()
            .map_err(failed)?;
        let width = span / BINS as f64;
        let bars = counts.iter().enumerate().map(|(bin, &count)| {
            let left = range.start + bin as f64 * width;
            Rectangle::new([(left, 0.0), (left + 0.9 * width, count as f64)], COLOURS[0].mix(0.8).filled())
        });
        chart.draw_series(bars).map_err(failed)?;
        area.present().map_err(failed)?;
    }
    Ok(svg)
}

fn bounds(values: impl Iterator<Item = f64>) -> (f64, f64) {
    values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
}

/// The range of values, widened by a share of itself, and never empty.
fn padded(values: impl Iterator<Item = f64>, share: f64) -> Range<f64> {
    let (low, high) = bounds(values.filter(|v| v.is_finite()));
    if low > high {
        return 0.0..1.0;
    }
    let margin = ((high - low) * share).max(if high > low { 0.0 } else { 0.5 });
    low - margin..high + margin
}

/// A number for an axis: few digits, `k` and `M` for large ones.
fn short(value: f64) -> String {
    let size = value.abs();
    let trim = |text: String| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    };
    match size {
        0.0 => "0".into(),
        _ if size >= 1e6 => format!("{}M", trim(format!("{:.1}", value / 1e6))),
        _ if size >= 1e4 => format!("{}k", trim(format!("{:.1}", value / 1e3))),
        _ if size >= 10.0 => trim(format!("{value:.1}")),
        _ if size >= 0.01 => trim(format!("{value:.3}")),
        _ => format!("{value:.1e}").replace(".0e", "e"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axis_numbers_are_short() {
        let cases = [(0.0, "0"), (1.5e6, "1.5M"), (25_000.0, "25k"), (120.0, "120"), (0.25, "0.25"), (1e-4, "1e-4")];
        for (value, expected) in cases {
            assert_eq!(short(value), expected);
        }
        assert_eq!(short(of_span(-1.1e-19, &(-4e-4..6e-4))), "0");
        assert_eq!(titled("label", ""), "label");
    }

    #[test]
    fn plots_of_nothing_and_of_one_point_are_drawn() {
        assert!(courses("x", "y", &[vec![(1.0, 2.0)], vec![]]).unwrap().contains("<circle"));
        for points in [vec![], vec![(1.0, 2.0)], vec![(0.0, f64::NAN)]] {
            assert!(lines("x", "y", &[Series::new("a", points)], true).unwrap().ends_with("</svg>\n"));
        }
        assert!(parity("eV", &[]).unwrap().contains("<svg"));
        assert!(histogram("eV", &[0.0]).unwrap().contains("<svg"));
        for values in [&[][..], &[3.0], &[1.0, 2.0, f64::INFINITY]] {
            assert!(distribution("atoms", values).unwrap().contains("<svg"));
        }
    }
}
