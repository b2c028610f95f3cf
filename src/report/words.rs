//! Formatting of times, tables and names, and the escaping of untrusted text.

use std::fmt::Write as _;

use jiff::Timestamp;

use crate::model::text::is_hidden;

/// A text from the repository, made safe to print: control, bidirectional and invisible characters are spelled out, so
/// that it cannot move the cursor, end a line, change the order in which a reader sees things, or look like another text.
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
        } else {
            safe.push(c);
        }
    }
    safe
}

/// JSON with untrusted strings, escaped for printing: it means the same.
pub fn json_escaped(json: &str) -> String {
    let mut safe = String::with_capacity(json.len());
    for c in json.chars() {
        // Outside strings there are no such characters but the line feeds between values.
        if is_hidden(c) && c != '\n' {
            for unit in c.encode_utf16(&mut [0; 2]) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(c);
        }
    }
    safe
}

/// Seconds since 1970 in RFC 3339, UTC.
pub fn time(seconds: i64) -> Option<String> {
    Timestamp::from_second(seconds).ok().map(|time| time.to_string())
}

/// Rows under a heading, columns aligned with spaces; no space at a line's end.
pub fn table(heading: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count());
        cells.chain(heading.get(column).map(|cell| cell.chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..heading.len()).map(width).collect();
    let mut text = String::new();
    let heading: Vec<_> = heading.iter().map(|&cell| cell.to_owned()).collect();
    for row in std::iter::once(&heading).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

/// `a`, `a and b`, `a, b and c`.
pub fn all_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [one] => (*one).to_owned(),
        [some @ .., last] => format!("{} and {last}", some.join(", ")),
    }
}

/// `1 finding`, `2 findings`.
pub(super) fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// How many of anything a document or a page lists that strangers can make as much of as they like. It says how many more
/// there are.
pub(super) const MAX_LISTED: usize = 1000;

/// The first of very many, and how many more there are.
pub(super) fn listed<T>(mut all: impl Iterator<Item = T>) -> (Vec<T>, usize) {
    (all.by_ref().take(MAX_LISTED).collect(), all.count())
}

/// `and 3 more findings`, if there are more.
pub(super) fn and_more(more: usize, what: &str) -> Option<String> {
    (more > 0).then(|| format!("and {more} more {what}{}", if more == 1 { "" } else { "s" }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_moves_cursors_or_turns_text_around_is_spelled_out() {
        assert_eq!(escaped("a\u{1b}[2Jb\nc\u{202e}d"), "a\\u{1b}[2Jb\\u{a}c\\u{202e}d");
        assert_eq!(escaped("L1\u{200b}\u{ad}\u{3164}\u{e0041}"), "L1\\u{200b}\\u{ad}\\u{3164}\\u{e0041}");
        assert_eq!(escaped("Größe 5 %"), "Größe 5 %");
    }

    #[test]
    fn json_still_means_the_same_when_it_is_safe() {
        let value = serde_json::json!({"a": "\u{1b}\u{202e}\u{9b}\u{7f}\u{200b}\u{e0041}\n"});
        let safe = json_escaped(&serde_json::to_string_pretty(&value).unwrap());
        assert!(safe.bytes().all(|byte| byte == b'\n' || (b' '..0x7f).contains(&byte)), "{safe}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
    }

    #[test]
    fn tables_are_aligned_and_do_not_trail() {
        let rows = [vec!["é".to_owned(), "x".to_owned()], vec!["long".to_owned(), String::new()]];
        assert_eq!(table(&["A", "B"], &rows), "A     B\né     x\nlong\n");
    }

    #[test]
    fn lists_read_like_sentences() {
        assert_eq!(all_of(&["a", "b"]), "a and b");
    }
}
