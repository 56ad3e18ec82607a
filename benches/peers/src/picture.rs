//! The pictures: bars for the most important lines of the table, drawn by hand as SVG.
//!
//! The colours follow the scheme of the reader, light or dark, and the ground is drawn too, so that
//! the picture is readable wherever it is shown. Within a panel all bars have one scale that begins
//! at 0.

use std::fmt::Write;

use crate::engines::Name;
use crate::machine;
use crate::parent::Options;
use crate::report::{Better, Picture, ROWS, Row, shown};
use crate::results::Results;

const WIDTH: u32 = 920;
const COLUMNS: u32 = 2;
const MARGIN: u32 = 24;
const HEAD_HEIGHT: u32 = 64;
const PANEL_TITLE_HEIGHT: u32 = 44;
const BAR_HEIGHT: u32 = 15;
const BAR_STEP: u32 = 20;
const PANEL_GAP: u32 = 22;
const NAME_WIDTH: u32 = 62;
/// Room for a figure behind the longest bar.
const FIGURE_WIDTH: u32 = 84;
const FOOT_HEIGHT: u32 = 26;

const STYLE: &str = "
  .ground { fill: #ffffff } .text { fill: #1f2328 } .quiet { fill: #59636e }
  .raw { fill: #8c959f } .annals { fill: #bc4c00 } .peer { fill: #6ca4e4 }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #0d1117 } .text { fill: #f0f6fc } .quiet { fill: #9198a1 }
    .raw { fill: #656c76 } .annals { fill: #f0883e } .peer { fill: #316dca }
  }
  text { font: 12px system-ui, sans-serif }
  .title { font-size: 17px; font-weight: 600 } .panel { font-size: 13px; font-weight: 600 }
";

/// Returns each picture with the name of its file.
pub fn all(options: &Options, results: &Results) -> [(&'static str, String); 2] {
    let draw = |title: &str, picture| {
        let rows: Vec<_> = ROWS.iter().filter(|row| row.picture == Some(picture)).collect();
        drawn(title, &rows, options, results)
    };
    [
        ("peers-appends.svg", draw("Appends beside other engines", Picture::Appends)),
        ("peers-reads.svg", draw("Reads, openings and sizes beside other engines", Picture::Reads)),
    ]
}

fn drawn(title: &str, rows: &[&Row], options: &Options, results: &Results) -> String {
    let panel_height = PANEL_TITLE_HEIGHT + BAR_STEP * options.engines.len() as u32 + PANEL_GAP;
    let height = HEAD_HEIGHT + panel_height * (rows.len() as u32).div_ceil(COLUMNS) + FOOT_HEIGHT;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-labelledby=\"title description\">\n<title id=\"title\">{title}</title>\n\
         <desc id=\"description\">{}</desc>\n<style>{STYLE}</style>\n\
         <rect class=\"ground\" width=\"{WIDTH}\" height=\"{height}\" rx=\"8\"/>\n",
        escaped(&described(rows, options, results)),
    );
    let subtitle = format!(
        "{} events, 200-byte payloads, the same work in the same run; medians of {}",
        shown(Some(options.events as f64)),
        match options.rounds {
            1 => "one round".to_owned(),
            rounds => format!("{rounds} rounds"),
        }
    );
    text(&mut svg, "title text", MARGIN, 32, title);
    text(&mut svg, "quiet", MARGIN, 51, &subtitle);
    for (index, row) in (0..).zip(rows) {
        let column_width = (WIDTH - MARGIN) / COLUMNS;
        let x = MARGIN + index % COLUMNS * column_width;
        let y = HEAD_HEIGHT + index / COLUMNS * panel_height;
        panel(&mut svg, (x, y), column_width - MARGIN, row, options, results);
    }
    let foot = machine::described(&options.directory);
    text(&mut svg, "quiet", MARGIN, height - 12, &foot);
    svg.push_str("</svg>\n");
    svg
}

fn panel(
    svg: &mut String,
    (x, y): (u32, u32),
    width: u32,
    row: &Row,
    options: &Options,
    results: &Results,
) {
    let better = if row.is_better == Better::Lower { "less is better" } else { "more is better" };
    text(svg, "panel text", x, y + 18, &plain(row.title));
    text(svg, "quiet", x, y + 34, better);
    let value = |engine: Name| row.value(results, engine).filter(|value| value.is_finite());
    let most = options.engines.iter().filter_map(|engine| value(*engine)).fold(0.0, f64::max);
    let room = f64::from(width - NAME_WIDTH - FIGURE_WIDTH);
    for (line, engine) in (0..).zip(&options.engines) {
        let top = y + PANEL_TITLE_HEIGHT + line * BAR_STEP;
        let base = top + BAR_HEIGHT - 3;
        text(svg, "text", x, base, engine.title());
        let Some(value) = value(*engine) else {
            text(svg, "quiet", x + NAME_WIDTH, base, "n/a");
            continue;
        };
        let length = (room * value / most).max(1.0);
        let class = match engine {
            Name::Raw => "raw",
            Name::Annals => "annals",
            _ => "peer",
        };
        let start = x + NAME_WIDTH;
        writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{start}\" y=\"{top}\" width=\"{length:.1}\" \
             height=\"{BAR_HEIGHT}\" rx=\"2\"/>"
        )
        .unwrap();
        text(svg, "text", start + length as u32 + 6, base, &shown(Some(value)));
    }
}

/// The figures in words, for who can not see the bars.
fn described(rows: &[&Row], options: &Options, results: &Results) -> String {
    let each = rows.iter().map(|row| {
        let figures = options.engines.iter().filter_map(|engine| {
            let value = row.value(results, *engine)?;
            Some(format!("{} {}", engine.title(), shown(Some(value))))
        });
        format!("{}: {}.", plain(row.title), figures.collect::<Vec<_>>().join(", "))
    });
    each.collect::<Vec<_>>().join(" ")
}

fn text(svg: &mut String, class: &str, x: u32, y: u32, content: &str) {
    writeln!(svg, "<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{}</text>", escaped(content))
        .unwrap();
}

/// Leaves out what is for Markdown.
fn plain(title: &str) -> String {
    title.replace('`', "")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
