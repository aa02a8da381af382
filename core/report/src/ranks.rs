//! What each rank did: a row of bars for each.

use isograd_train::run::RankSummary;
use maud::{Markup, html};

use super::format::{bytes, grouped};

pub(super) fn ranks(ranks: &[RankSummary]) -> Markup {
    let largest = |value: fn(&RankSummary) -> f64| ranks.iter().map(value).fold(0.0, f64::max);
    let (fastest, fullest) = (largest(|rank| rank.edges_per_second), largest(memory));
    html! {
        h2 { "Ranks" }
        table {
            tr {
                th { "rank" } th { "device" } th { "edges/s" } th { "peak memory" } th { "weights" } th { "gradients" }
                th { "optimizer" } th { "average" } th { "waits for ranks" } th { "communicates" } th { "sent" }
            }
            @for (index, rank) in ranks.iter().enumerate() {
                tr {
                    td { (index) } td { (rank.device) }
                    td { (grouped(rank.edges_per_second.round() as usize)) (bar(rank.edges_per_second / fastest)) }
                    td { (rank.peak_bytes.map_or("unknown".into(), bytes)) (bar(memory(rank) / fullest)) }
                    td { (bytes(rank.held.parameters)) } td { (bytes(rank.held.gradients)) }
                    td { (bytes(rank.held.optimizer)) } td { (bytes(rank.held.ema)) }
                    td { (percent(rank.communication_share)) (bar(rank.communication_share)) }
                    td { (percent(rank.communication_busy_share)) (bar(rank.communication_busy_share)) }
                    td { (bytes(rank.sent_bytes)) }
                }
            }
        }
        p.sub {
            "Of the last session. A rank waits for others where it has nothing left to compute; communication goes on \
             beside computing as well. Ranks that are threads on one CPU share its memory, and each shows all of it."
        }
    }
}

fn memory(rank: &RankSummary) -> f64 {
    rank.peak_bytes.unwrap_or(0) as f64
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

fn bar(share: f64) -> Markup {
    let width = if share.is_finite() { (100.0 * share).clamp(0.0, 100.0) } else { 0.0 };
    html! { div.bar { i style=(format!("width:{width:.1}%")) {} } }
}
