//! Plots: lines over a logarithmic axis, and all ratios at a glance.

use std::fmt::Display;
use std::path::Path;

use plotters::prelude::*;

use crate::error::Error;
use crate::report::Figure;

/// One line of a plot.
#[derive(Debug)]
pub struct Line {
    /// What it is of.
    pub name: String,
    /// In the order of the horizontal axis.
    pub points: Vec<(f64, f64)>,
}

/// Lines over a logarithmic horizontal axis and a vertical one that begins at zero.
pub fn lines(path: &Path, title: &str, x: &str, y: &str, lines: &[Line]) -> Result<(), Error> {
    let failed = |error: &dyn Display| Error::Plot { path: path.to_owned(), said: error.to_string() };
    let points = || lines.iter().flat_map(|line| &line.points);
    let right = points().map(|point| point.0).fold(1.0, f64::max) * 1.1;
    let top = points().map(|point| point.1).fold(0.0, f64::max) * 1.1;
    let root = SVGBackend::new(path, (900, 520)).into_drawing_area();
    root.fill(&WHITE).map_err(|error| failed(&error))?;
    let mut chart = ChartBuilder::on(&root);
    chart.caption(title, ("sans-serif", 20)).margin(12).x_label_area_size(42).y_label_area_size(72);
    let mut chart = chart.build_cartesian_2d((0.9..right).log_scale(), 0.0..top).map_err(|error| failed(&error))?;
    let mut mesh = chart.configure_mesh();
    mesh.x_desc(x).y_desc(y).x_label_formatter(&|value| format!("{value:.0}")).draw().map_err(|error| failed(&error))?;
    for (index, line) in lines.iter().enumerate() {
        let colour = Palette99::pick(index).to_rgba();
        let series = LineSeries::new(line.points.iter().copied(), colour.stroke_width(2)).point_size(3);
        let drawn = chart.draw_series(series).map_err(|error| failed(&error))?;
        drawn.label(line.name.as_str()).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    let mut legend = chart.configure_series_labels();
    legend.position(SeriesLabelPosition::UpperLeft).background_style(WHITE.mix(0.8)).border_style(BLACK.mix(0.3));
    legend.draw().map_err(|error| failed(&error))?;
    root.present().map_err(|error| failed(&error))
}

/// Pixels of one bar's row, of the text before the bars, and of the bars.
const ROW: i32 = 18;
const TEXT: i32 = 560;
const BARS: i32 = 400;

/// A bar for each comparison with a peer, from 1 to its ratio, on a logarithmic axis from 1/100 to 100.
pub fn ratios(path: &Path, figures: &[Figure]) -> Result<(), Error> {
    let failed = |error: &dyn Display| Error::Plot { path: path.to_owned(), said: error.to_string() };
    let compared: Vec<_> = figures.iter().filter_map(|figure| Some((figure, figure.peer.as_deref()?, figure.ratio?))).collect();
    let rows = i32::try_from(compared.len()).unwrap_or(i32::MAX / ROW - 3);
    let size = ((TEXT + BARS + 80).unsigned_abs(), ((rows + 2) * ROW).unsigned_abs());
    let root = SVGBackend::new(path, size).into_drawing_area();
    root.fill(&WHITE).map_err(|error| failed(&error))?;
    let font = |size: i32| ("sans-serif", size).into_font().color(&BLACK);
    let middle = TEXT + BARS / 2;
    // The cast is of a value between -1 and 1.
    let at = |ratio: f64| middle + (ratio.log10().clamp(-2.0, 2.0) / 2.0 * f64::from(BARS / 2)) as i32;
    for (mark, text) in [(0.01, "1/100"), (0.1, "1/10"), (1.0, "equal"), (10.0, "10"), (100.0, "100")] {
        let line = PathElement::new([(at(mark), ROW), (at(mark), (rows + 1) * ROW)], BLACK.mix(0.2));
        root.draw(&line).map_err(|error| failed(&error))?;
        root.draw(&Text::new(text, (at(mark) - 12, 3), font(12))).map_err(|error| failed(&error))?;
    }
    for (row, (figure, peer, ratio)) in (1..).zip(compared) {
        let (top, end) = (row * ROW, at(ratio));
        let text = format!("{} [{}]: {} / {peer}", figure.figure, figure.unit, figure.ours);
        root.draw(&Text::new(text, (8, top + 2), font(12))).map_err(|error| failed(&error))?;
        let bar = [(middle.min(end), top + 3), (middle.max(end), top + ROW - 3)];
        root.draw(&Rectangle::new(bar, Palette99::pick(0).filled())).map_err(|error| failed(&error))?;
        root.draw(&Text::new(format!("{ratio:.2}"), (TEXT + BARS + 20, top + 2), font(12))).map_err(|error| failed(&error))?;
    }
    root.present().map_err(|error| failed(&error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_point_is_enough_for_a_plot() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("one.svg");
        let line = Line { name: "one".to_owned(), points: vec![(1.0, 5.0)] };
        lines(&path, "title", "x", "y", &[line]).expect("it can be drawn");
        let text = std::fs::read_to_string(path).expect("it was written");
        assert!(text.starts_with("<svg") && text.trim_end().ends_with("</svg>") && text.contains("title"), "{text}");
    }

    #[test]
    fn no_comparison_is_an_empty_plot() {
        let dir = tempfile::tempdir().expect("a directory");
        ratios(&dir.path().join("none.svg"), &[]).expect("it can be drawn");
    }
}
