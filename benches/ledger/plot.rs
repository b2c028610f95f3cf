//! Lines on two logarithmic axes, as SVG.

use std::fmt::Write as _;

/// A line.
pub struct Series {
    pub name: &'static str,
    pub points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 380.0;
const LEFT: f64 = 70.0;
const BOTTOM: f64 = 330.0;
const TOP: f64 = 40.0;
const RIGHT: f64 = 430.0;
const COLOURS: [&str; 9] =
    ["#1b6ca8", "#c0392b", "#2e8b57", "#8e44ad", "#b9770e", "#17a2b8", "#555555", "#d63384", "#7a5c00"];

/// Draws lines; `across` and `up` name the axes.
pub fn plot(title: &str, across: &str, up: &str, lines: &[Series]) -> String {
    let all = || lines.iter().flat_map(|line| &line.points).filter(|(x, y)| *x > 0.0 && *y > 0.0);
    let range = |of: fn(&(f64, f64)) -> f64| {
        let exponents = || all().map(|point| of(point).log10());
        let (least, most) = (exponents().fold(f64::MAX, f64::min), exponents().fold(f64::MIN, f64::max));
        (least.floor(), most.ceil().max(least.floor() + 1.0))
    };
    let (x_range, y_range) = (range(|point| point.0), range(|point| point.1));
    let place = |value: f64, (least, most): (f64, f64), from: f64, to: f64| {
        from + (value.log10() - least) / (most - least) * (to - from)
    };
    let x = |value: f64| place(value, x_range, LEFT, RIGHT);
    let y = |value: f64| place(value, y_range, BOTTOM, TOP);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\" role=\"img\"><title>{title}</title><rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#fff\"/>\n\
         <text x=\"{LEFT}\" y=\"22\" font-size=\"14\" font-weight=\"bold\">{title}</text>\n\
         <text x=\"{}\" y=\"{}\" text-anchor=\"middle\">{across}</text>\n\
         <text transform=\"translate(16 {}) rotate(-90)\" text-anchor=\"middle\">{up}</text>\n",
        f64::midpoint(LEFT, RIGHT),
        HEIGHT - 12.0,
        f64::midpoint(TOP, BOTTOM),
    );
    for exponent in decades(x_range) {
        let at = x(10_f64.powi(exponent));
        let _ = writeln!(svg, "<path d=\"M{at:.1} {TOP}V{BOTTOM}\" stroke=\"#ddd\"/>");
        let _ = writeln!(
            svg,
            "<text x=\"{at:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            BOTTOM + 16.0,
            power(exponent)
        );
    }
    for exponent in decades(y_range) {
        let at = y(10_f64.powi(exponent));
        let _ = writeln!(svg, "<path d=\"M{LEFT} {at:.1}H{RIGHT}\" stroke=\"#ddd\"/>");
        let _ = writeln!(
            svg,
            "<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            LEFT - 6.0,
            at + 4.0,
            power(exponent)
        );
    }
    for (number, (line, colour)) in lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
        let points: Vec<_> = line.points.iter().filter(|(x, y)| *x > 0.0 && *y > 0.0).collect();
        let path: Vec<_> = points.iter().map(|point| format!("{:.1} {:.1}", x(point.0), y(point.1))).collect();
        let _ = writeln!(svg, "<path d=\"M{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>", path.join("L"));
        for point in points {
            let _ =
                writeln!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"/>", x(point.0), y(point.1));
        }
        let at = 50 + number * 20;
        let _ = writeln!(
            svg,
            "<rect x=\"{}\" y=\"{}\" width=\"12\" height=\"3\" fill=\"{colour}\"/>",
            RIGHT + 14.0,
            at - 5
        );
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{at}\">{}</text>", RIGHT + 32.0, line.name);
    }
    svg + "</svg>\n"
}

#[allow(clippy::cast_possible_truncation, reason = "exponents of ten are small whole numbers")]
fn decades((least, most): (f64, f64)) -> std::ops::RangeInclusive<i32> {
    least as i32..=most as i32
}

fn power(exponent: i32) -> String {
    if (0..=3).contains(&exponent) {
        10_i64.pow(exponent.unsigned_abs()).to_string()
    } else if (-2..0).contains(&exponent) {
        format!("{}", 10_f64.powi(exponent))
    } else {
        let digits: String = exponent.to_string().chars().map(raised).collect();
        format!("10{digits}")
    }
}

fn raised(digit: char) -> char {
    const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    digit.to_digit(10).and_then(|digit| RAISED.get(digit as usize).copied()).unwrap_or('⁻')
}
