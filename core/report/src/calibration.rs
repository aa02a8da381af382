//! The page of an evaluation with spreads: whether they are as large as errors, bin by bin.

use std::collections::BTreeMap;

use isograd_tasks::Calibration;
use maud::html;

use super::Result;
use super::document::{document, figure};
use super::format::grouped;
use super::plots::against;

pub(super) fn render(subtitle: &str, targets: &BTreeMap<String, Calibration>) -> Result<String> {
    let mut figures = Vec::new();
    for (name, own) in targets {
        let pairs: Vec<[f64; 2]> = own.bins.iter().map(|bin| [bin.spread, bin.rmse]).collect();
        let titles = (format!("spread, {}", own.unit), format!("RMSE, {}", own.unit));
        figures.push(figure(&format!("Reliability: {name}"), &against((&titles.0, &titles.1), &pairs)?));
    }
    let shown = |value: Option<f64>| value.map_or("-".into(), |value| format!("{value:.3}"));
    let body = html! {
        h1 { "Uncertainty" }
        p.sub { (subtitle) }
        table {
            tr {
                th { "target" } th { "points" } th { "RMSE" } th { "spread" } th { "RMSE / spread" } th { "rank correlation" }
                th { "negative log-likelihood" } th { "scaled" }
            }
            @for (name, own) in targets {
                tr {
                    td { (name) } td { (grouped(own.points)) }
                    td { (format!("{:.3} {}", own.rmse, own.unit)) } td { (format!("{:.3} {}", own.spread, own.unit)) }
                    td { (shown(own.factor)) } td { (shown(own.rank_correlation)) }
                    td { (shown(own.negative_log_likelihood)) } td { (shown(own.scaled_negative_log_likelihood)) }
                }
            }
        }
        p.sub {
            "A point is the energy of a structure, per atom, or the forces on an atom. Each dot below is a bin of points of like \
             spread; on the line, spreads are as large as errors. Above it the models agree more than they should."
        }
        div.plots { @for figure in &figures { (figure) } }
    };
    Ok(document("uncertainty", &body))
}

#[cfg(test)]
mod tests {
    use super::*;
    use isograd_tasks::{SpreadErrors, potential_targets};

    #[test]
    fn a_page_has_a_plot_for_each_target_and_dashes_for_what_is_not_known() {
        let energy = &potential_targets()[0];
        let mut points = SpreadErrors::default();
        points.add(energy, 1, 3, &[1.0], &[2.0], &[0.0]);
        let own = points.calibration(1e3, "meV/atom").unwrap();
        let page = render("<one> structure", &[("energy".to_owned(), own)].into()).unwrap();
        assert_eq!(page.matches("<svg").count(), 1);
        for expected in ["Reliability: energy", "&lt;one&gt; structure", "1000.000 meV/atom", "<td>-</td>"] {
            assert!(page.contains(expected), "{expected}: {page}");
        }
    }
}
