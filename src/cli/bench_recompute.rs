//! `isograd bench recompute`: `bench step` over policies, ways of messages, widths, layers and degrees.

use std::path::PathBuf;
use std::process::Command;

use indicatif::{ProgressBar, ProgressStyle};
use isograd::lab::{StepReport, recompute_plot};
use isograd::ops::device::DeviceName;
use isograd::train::{Error, Result};

use super::tables::{bytes, table};

#[derive(clap::Args)]
pub(crate) struct Args {
    /// Nodes of the graph
    #[arg(long, default_value_t = 128)]
    nodes: usize,
    /// Widths of the model
    #[arg(long, value_delimiter = ',', default_value = "64,256,1024")]
    widths: Vec<usize>,
    /// Numbers of layers
    #[arg(long, value_delimiter = ',', default_value = "3,6,12,24")]
    layers: Vec<usize>,
    /// Neighbours of each node
    #[arg(long, value_delimiter = ',', default_value = "4,16,64")]
    degrees: Vec<usize>,
    /// Policies: none, layer, every:K, auto:BYTES
    #[arg(long, value_delimiter = ',', default_value = "none,layer,every:2")]
    recompute: Vec<String>,
    /// Timed steps
    #[arg(long, default_value_t = 3)]
    steps: usize,
    /// Device: cpu, wgpu, vulkan, metal or cuda, with an optional index as in cuda:1
    #[arg(long, default_value = "cpu")]
    device: DeviceName,
    /// Write the plot to this SVG file
    #[arg(long, value_name = "FILE")]
    plot: Option<PathBuf>,
    /// Print JSON lines, the report of `bench step` for each case
    #[arg(long)]
    json: bool,
}

/// Each case in a process of its own: what one leaves behind would be part of the next one's peak.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut cases = Vec::new();
    for width in &args.widths {
        for layers in &args.layers {
            for degree in &args.degrees {
                for message in ["fused", "composed"] {
                    cases.extend(args.recompute.iter().map(|policy| (width, layers, degree, message, policy)));
                }
            }
        }
    }
    let style = ProgressStyle::with_template("{spinner} [{bar:28}] {pos}/{len}  {msg}  {eta} left")
        .unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = ProgressBar::new(cases.len() as u64).with_style(style);
    let mut reports = Vec::with_capacity(cases.len());
    for (width, layers, degree, message, policy) in cases {
        bar.set_message(format!("width {width}, {layers} layers, degree {degree}, {message}, {policy}"));
        let sizes = [("nodes", &args.nodes), ("degree", degree), ("width", width), ("layers", layers)];
        let mut arguments: Vec<String> =
            sizes.iter().flat_map(|(name, value)| [format!("--{name}"), value.to_string()]).collect();
        let device = args.device.to_string();
        let rest = [("message", message), ("recompute", policy), ("device", &device), ("warmup", "1")];
        arguments.extend(rest.iter().flat_map(|(name, value)| [format!("--{name}"), (*value).to_owned()]));
        arguments.extend(["--steps".into(), args.steps.to_string(), "--json".into()]);
        let report = measure(&arguments)?;
        if args.json {
            println!("{}", serde_json::to_string(&report).map_err(|error| Error::Internal(error.to_string()))?);
        }
        reports.push(report);
        bar.inc(1);
    }
    bar.finish_and_clear();
    if let Some(path) = &args.plot {
        std::fs::write(path, recompute_plot(&reports)?).map_err(Error::io(path, "write"))?;
    }
    if !args.json {
        println!("{}", table(&HEADER, rows(&reports)));
    }
    Ok(())
}

fn measure(arguments: &[String]) -> Result<StepReport> {
    let program = std::env::current_exe().map_err(Error::io("isograd", "find"))?;
    let output = Command::new(&program).args(["bench", "step"]).args(arguments).output();
    let output = output.map_err(Error::io(&program, "run"))?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let message = text.trim().trim_start_matches("error: ").to_owned();
        return Err(Error::Config { place: format!("bench step {}", arguments.join(" ")), message });
    }
    serde_json::from_slice(&output.stdout).map_err(|error| Error::Internal(format!("reading a report: {error}")))
}

const HEADER: [&str; 10] =
    ["message", "recompute", "width", "layers", "degree", "peak", "of none", "step", "of none", "planned"];

/// A row for each case, beside the same one without recomputation.
fn rows(reports: &[StepReport]) -> Vec<Vec<String>> {
    let degree = |report: &StepReport| report.edges / report.nodes;
    let key = |report: &StepReport| (report.message, report.width, report.layers, degree(report));
    let peak = |report: &StepReport| report.peak_bytes.unwrap_or(0) as f64;
    let share = |value: f64, base: f64| format!("{:.0} %", 100.0 * value / base.max(f64::MIN_POSITIVE));
    let mut rows = Vec::new();
    for report in reports {
        let base = reports.iter().find(|base| key(base) == key(report)).unwrap_or(report);
        rows.push(vec![
            format!("{:?}", report.message).to_lowercase(),
            report.recompute.to_string(),
            report.width.to_string(),
            report.layers.to_string(),
            degree(report).to_string(),
            bytes(report.peak_bytes),
            share(peak(report), peak(base)),
            format!("{:.4} s", report.step_seconds_median),
            share(report.step_seconds_median, base.step_seconds_median),
            report.plan.map_or("-".into(), |plan| share(plan.total as f64, peak(report))),
        ]);
    }
    rows
}
