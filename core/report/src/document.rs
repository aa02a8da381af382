//! What all pages share: one self-contained HTML file in one style.

use maud::{DOCTYPE, Markup, PreEscaped, html};

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
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(440px, 1fr)); align-items: start; gap: 14px; }
figure { margin: 0; padding: 12px; } figure svg { width: 100%; height: auto; }
figcaption { font-weight: 600; margin: 2px 6px 4px; }
table { border-collapse: separate; border-spacing: 0; width: 100%; overflow: hidden; }
th, td { padding: 7px 14px; text-align: right; border-bottom: 1px solid #eef0f3; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child { text-align: left; } th { color: #667080; font-weight: 600; font-size: 13px; }
tr:last-child td { border-bottom: 0; } .warn { border-left: 4px solid #d96b27; padding: 8px 14px; background: #fff; margin: 6px 0; }
.fail { color: #c0392b; } .error { border-left: 4px solid #c0392b; } .warning { border-left: 4px solid #d96b27; }
.note { border-left: 4px solid #8a93a0; } .finding { background: #fff; padding: 10px 16px; margin: 8px 0; border-radius: 4px; }
.finding p { margin: 4px 0; } .finding details { border: 0; padding: 0; } code { background: #eef0f3; padding: 1px 5px; border-radius: 4px; }
.wide { overflow-x: auto; } .wide table { font-size: 13px; } .wide th, .wide td { padding: 6px 8px; }
.wide td:first-child { overflow-wrap: anywhere; min-width: 120px; }
.key { display: inline-block; width: 11px; height: 11px; border-radius: 3px; margin-right: 6px; } .legend span { margin-right: 18px; }
.runs th { overflow-wrap: anywhere; min-width: 90px; max-width: 220px; vertical-align: top; } .runs td { overflow-wrap: anywhere; }
details { padding: 10px 16px; } pre { overflow-x: auto; font-size: 13px; margin: 8px 0 0; }
";

/// A whole page.
pub(super) fn document(name: &str, body: &Markup) -> String {
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { "Isograd: " (name) }
                style { (PreEscaped(STYLE)) }
            }
            body { (body) }
        }
    };
    page.into_string()
}

/// A plot with its title.
pub(super) fn figure(caption: &str, svg: &str) -> Markup {
    html! { figure { figcaption { (caption) } (PreEscaped(svg)) } }
}
