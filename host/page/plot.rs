//! Plots as SVG. No text of a tenant goes into one but names, which hold no markup.

use fapo_core::InputError;
use plotters::coord::Shift;
use plotters::prelude::*;

/// Width and height of a plot, pixels; a page scales it.
const SIZE: (u32, u32) = (480, 270);
const WIDE: (u32, u32) = (1100, 360);
/// Height of a line of a lineage.
const LINE: u32 = 26;
const BLUE_INK: RGBColor = RGBColor(37, 99, 179);
const GREEN_INK: RGBColor = RGBColor(20, 112, 58);
const RED_INK: RGBColor = RGBColor(163, 39, 31);
const GREY_INK: RGBColor = RGBColor(140, 149, 163);
/// Classes of a histogram of composites.
const CLASSES: usize = 10;

/// Draws on a page of its own.
fn draw<E: std::error::Error + Send + Sync>(
    size: (u32, u32),
    on: impl FnOnce(&DrawingArea<SVGBackend<'_>, Shift>) -> Result<(), DrawingAreaErrorKind<E>>,
) -> Result<String, InputError> {
    let mut text = String::new();
    let ended = {
        let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
        let ended = on(&area).map_err(|e| e.to_string());
        ended.and_then(|()| area.present().map_err(|e| e.to_string()))
    };
    ended.map_err(|why| InputError::new("a plot of the report", why))?;
    Ok(text)
}

/// Cases by composite.
pub(super) fn composites(values: &[f64]) -> Result<String, InputError> {
    let mut counts = [0_usize; CLASSES];
    for value in values {
        counts[((value / 100.0 * CLASSES as f64) as usize).min(CLASSES - 1)] += 1;
    }
    let top = counts.iter().copied().max().unwrap_or(0).max(1) as f64 * 1.1;
    draw(SIZE, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .margin_right(24)
            .x_label_area_size(40)
            .y_label_area_size(50)
            .build_cartesian_2d(0.0..CLASSES as f64, 0.0..top)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .disable_x_mesh()
            .x_labels(CLASSES + 1)
            .x_label_formatter(&|x| format!("{:.0}", x * 100.0 / CLASSES as f64))
            .y_label_formatter(&|y| format!("{y:.0}"))
            .x_desc("composite")
            .y_desc("cases")
            .draw()?;
        chart.draw_series(counts.iter().enumerate().map(|(n, count)| {
            let n = n as f64;
            Rectangle::new([(n + 0.06, 0.0), (n + 0.94, *count as f64)], BLUE_INK.filled())
        }))?;
        Ok(())
    })
}

/// A value by name, as bars; `more` stands behind the first as a lighter one.
pub(super) fn bars(values: &[(String, f64, f64)], what: &str) -> Result<String, InputError> {
    let top = values.iter().map(|(_, a, b)| a.max(*b)).fold(0.0, f64::max);
    let top = if top > 0.0 { top * 1.1 } else { 1.0 };
    let many = values.len().max(1);
    draw(SIZE, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .margin_right(24)
            .x_label_area_size(40)
            .y_label_area_size(150)
            .build_cartesian_2d(0.0..top, 0.0..many as f64)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .disable_y_mesh()
            .disable_y_axis()
            .y_labels(0)
            .x_desc(what)
            .x_label_formatter(&|x| short(*x))
            .draw()?;
        let place = |n: usize| (many - 1 - n) as f64;
        chart.draw_series(values.iter().enumerate().map(|(n, (_, _, more))| {
            Rectangle::new([(0.0, place(n) + 0.15), (*more, place(n) + 0.85)], BLUE_INK.mix(0.3).filled())
        }))?;
        chart.draw_series(values.iter().enumerate().map(|(n, (_, value, _))| {
            Rectangle::new([(0.0, place(n) + 0.3), (*value, place(n) + 0.7)], BLUE_INK.filled())
        }))?;
        let height = f64::from(SIZE.1 - 70) / many as f64;
        for (n, (name, _, _)) in values.iter().enumerate() {
            let y = 14 + ((n as f64 + 0.5) * height) as i32;
            area.draw(&Text::new(fitting(name, 20), (8, y - 6), ("sans-serif", 13)))?;
        }
        Ok(())
    })
}

/// A name cut to what its place holds.
fn fitting(name: &str, chars_max: usize) -> String {
    match name.char_indices().nth(chars_max) {
        Some((at, _)) => format!("{}…", &name[..at]),
        None => name.into(),
    }
}

fn short(value: f64) -> String {
    match value {
        0.0 => "0".into(),
        v if v.abs() >= 100.0 => format!("{v:.0}"),
        v if v.abs() >= 1.0 => format!("{v:.1}"),
        v if v.abs() >= 0.01 => format!("{v:.3}"),
        v => format!("{v:.1e}"),
    }
}

/// An attempt on validation.
pub(super) struct Point {
    pub(super) name: String,
    /// None where it did not come so far.
    pub(super) mean: Option<f64>,
    pub(super) interval: Option<[f64; 2]>,
    pub(super) kept: bool,
}

/// Validation by attempt, with the best so far; the first point is the baseline.
pub(super) fn trajectory(points: &[Point]) -> Result<String, InputError> {
    let bounds = points.iter().flat_map(|p| p.interval.into_iter().flatten().chain(p.mean));
    let (low, high) = bounds.fold((100.0_f64, 0.0_f64), |(low, high), v| (low.min(v), high.max(v)));
    let (low, high) = ((low - 5.0).max(0.0), (high + 5.0).min(100.0));
    let last = points.len().saturating_sub(1).max(1) as f64;
    let mut best: Vec<(f64, f64)> = Vec::new();
    for (n, point) in points.iter().enumerate() {
        let before = best.last().map(|(_, mean)| *mean);
        let now = point.mean.filter(|_| point.kept || n == 0).or(before).unwrap_or(low);
        best.extend(before.map(|before| (n as f64, before)));
        best.push((n as f64, now));
    }
    draw(WIDE, |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(12)
            .x_label_area_size(44)
            .y_label_area_size(56)
            .build_cartesian_2d(-0.5..last + 0.5, low..high)?;
        let name = |x: &f64| match (x - x.round()).abs() < 1e-6 && *x >= 0.0 {
            true => points.get(x.round() as usize).map_or(String::new(), |point| point.name.clone()),
            false => String::new(),
        };
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .x_labels(points.len().min(26))
            .x_label_formatter(&name)
            .y_label_formatter(&|y| format!("{y:.0}"))
            .x_desc("attempt")
            .y_desc("validation, mean composite")
            .draw()?;
        chart.draw_series(LineSeries::new(best.iter().copied(), BLUE_INK.stroke_width(2)))?;
        for (n, point) in points.iter().enumerate() {
            let Some(mean) = point.mean else { continue };
            let ink = match (n, point.kept) {
                (0, _) => BLACK,
                (_, true) => GREEN_INK,
                (_, false) => RED_INK,
            };
            if let Some([low, high]) = point.interval {
                let whisker = ErrorBar::new_vertical(n as f64, low, mean, high, ink.mix(0.5).stroke_width(1), 6);
                chart.draw_series(std::iter::once(whisker))?;
            }
            chart.draw_series(std::iter::once(Circle::new((n as f64, mean), 4, ink.filled())))?;
        }
        Ok(())
    })
}

/// A variant of a lineage.
pub(super) struct Born {
    pub(super) name: String,
    /// Position of its parent; None of the baseline.
    pub(super) parent: Option<usize>,
    pub(super) kept: bool,
    pub(super) selected: bool,
}

/// Each variant on a line below its parent, moved in by how many changes it stands on.
pub(super) fn lineage(variants: &[Born]) -> Result<String, InputError> {
    let mut depth: Vec<i32> = Vec::new();
    for born in variants {
        depth.push(born.parent.and_then(|at| depth.get(at)).map_or(0, |depth| depth + 1));
    }
    let height = LINE * variants.len().max(1) as u32 + 12;
    let place = |at: usize| (18 + depth[at] * 34, 18 + (LINE * at as u32) as i32);
    draw((WIDE.0, height), |area| {
        for (at, born) in variants.iter().enumerate() {
            let (x, y) = place(at);
            if let Some(parent) = born.parent {
                let (from, _) = place(parent);
                let (_, top) = place(parent);
                area.draw(&PathElement::new(vec![(from, top + 5), (from, y), (x - 5, y)], GREY_INK.stroke_width(1)))?;
            }
            let ink = if born.kept || born.parent.is_none() { GREEN_INK } else { GREY_INK };
            area.draw(&Circle::new((x, y), 5, ink.filled()))?;
            let name = if born.selected { format!("{} (selected)", born.name) } else { born.name.clone() };
            area.draw(&Text::new(name, (x + 12, y - 7), ("sans-serif", 13)))?;
        }
        Ok(())
    })
}

/// Baseline and selected variant of a row, each with mean and deviation.
pub(super) struct Pair {
    pub(super) name: String,
    pub(super) baseline: (f64, f64),
    pub(super) selected: (f64, f64),
}

/// Means with their deviations, a line a row.
pub(super) fn pairs(rows: &[Pair]) -> Result<String, InputError> {
    let many = rows.len().max(1);
    let height = 90 + 46 * many as u32;
    draw((WIDE.0, height), |area| {
        let mut chart = ChartBuilder::on(area)
            .margin(10)
            .margin_right(24)
            .x_label_area_size(40)
            .y_label_area_size(300)
            .build_cartesian_2d(0.0..100.0, 0.0..many as f64)?;
        chart
            .configure_mesh()
            .light_line_style(TRANSPARENT)
            .disable_y_mesh()
            .disable_y_axis()
            .y_labels(0)
            .x_desc("mean composite on test")
            .draw()?;
        for (n, row) in rows.iter().enumerate() {
            let line = (many - 1 - n) as f64;
            for (at, (mean, sd), ink) in [(0.65, row.baseline, GREY_INK), (0.35, row.selected, BLUE_INK)] {
                let (low, high) = ((mean - sd).max(0.0), (mean + sd).min(100.0));
                let whisker = ErrorBar::new_horizontal(line + at, low, mean, high, ink.stroke_width(2), 8);
                chart.draw_series(std::iter::once(whisker))?;
                chart.draw_series(std::iter::once(Circle::new((mean, line + at), 5, ink.filled())))?;
            }
        }
        let each = f64::from(height - 60) / many as f64;
        for (n, row) in rows.iter().enumerate() {
            let y = 10 + ((n as f64 + 0.5) * each) as i32;
            area.draw(&Text::new(fitting(&row.name, 40), (10, y - 7), ("sans-serif", 14)))?;
        }
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plots_stand_for_any_numbers_and_say_nothing_that_a_page_would_load() {
        let point = |mean, kept| Point { name: "v000".into(), mean, interval: mean.map(|m| [m, m]), kept };
        let born = |parent| Born { name: "v000".into(), parent, kept: true, selected: false };
        let pair = Pair { name: "t, m, paper".repeat(9), baseline: (0.0, 0.0), selected: (100.0, 50.0) };
        let long = "a".repeat(64);
        for plot in [
            composites(&[]),
            composites(&[0.0, 9.99, 100.0]),
            bars(&[(long, 0.0, 0.0)], "seconds"),
            bars(&[("a".into(), 1e-6, 1e9)], "seconds"),
            trajectory(&[point(Some(0.0), true)]),
            trajectory(&[point(Some(100.0), true), point(None, false), point(Some(40.0), false)]),
            lineage(&[]),
            lineage(&[born(None), born(Some(0)), born(Some(1)), born(Some(0))]),
            pairs(&[]),
            pairs(&[pair]),
        ] {
            let plot = plot.expect("drawn");
            assert!(plot.starts_with("<svg") && plot.trim_end().ends_with("</svg>"), "{plot}");
            assert!(!plot.contains("href") && !plot.contains("<image") && !plot.contains("NaN"), "{plot}");
        }
        assert_eq!(fitting(&"é".repeat(30), 20).chars().count(), 21);
    }
}
