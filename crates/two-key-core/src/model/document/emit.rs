//! YAML writer: the one way in which `new`, `init` and key changes write files. What is written here reads back to
//! the same values, and looks as a person would write it: short collections on one line, long ones in blocks.

use serde_json::Value;

use super::strict;

/// The longest line that a collection is written on.
const WIDTH: usize = 100;

/// Writes a mapping's entries as a document's top level, each value that is not short in a block of its own.
pub(in crate::model) fn document(first_line: &str, entries: &[(&str, Value)]) -> String {
    let mut out = format!("{first_line}\n");
    for (key, value) in entries {
        match value {
            Value::Object(map) if !map.is_empty() => {
                line(&mut out, 0, &format!("{}:", scalar(key)));
                block(&mut out, value, 2);
            }
            _ => entry(&mut out, key, value, 0),
        }
    }
    out
}

/// `key: value` at an indentation.
fn entry(out: &mut String, key: &str, value: &Value, indent: usize) {
    let short = format!("{}: {}", scalar(key), flow(value));
    if is_leaf(value) || indent + short.chars().count() <= WIDTH {
        line(out, indent, &short);
    } else {
        line(out, indent, &format!("{}:", scalar(key)));
        block(out, value, indent + 2);
    }
}

/// A collection, an entry a line.
fn block(out: &mut String, value: &Value, indent: usize) {
    match value {
        Value::Object(map) => map.iter().for_each(|(key, value)| entry(out, key, value, indent)),
        Value::Array(items) => {
            for item in items {
                line(out, indent, &format!("- {}", flow(item)));
            }
        }
        leaf => line(out, indent, &flow(leaf)),
    }
}

fn line(out: &mut String, indent: usize, text: &str) {
    out.push_str(&" ".repeat(indent));
    out.push_str(text);
    out.push('\n');
}

fn is_leaf(value: &Value) -> bool {
    match value {
        Value::Object(map) => map.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => true,
    }
}

/// A value on one line.
fn flow(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(flag) => flag.to_string(),
        Value::Number(number) => self::number(number),
        Value::String(text) => scalar(text),
        Value::Array(items) => format!("[{}]", items.iter().map(flow).collect::<Vec<_>>().join(", ")),
        Value::Object(map) => {
            let entries = map.iter().map(|(key, value)| format!("{}: {}", scalar(key), flow(value)));
            format!("{{{}}}", entries.collect::<Vec<_>>().join(", "))
        }
    }
}

/// A number as a person writes it: `6`, not `6.0`.
fn number(number: &serde_json::Number) -> String {
    let text = number.to_string();
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}

/// A text: as it is where every reader takes it for that text, else in quotes.
fn scalar(text: &str) -> String {
    if is_plain(text) {
        text.to_owned()
    } else if (text.contains('"') || text.contains('\\')) && !text.contains('\n') {
        format!("'{}'", text.replace('\'', "''"))
    } else {
        format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
    }
}

fn is_plain(text: &str) -> bool {
    let allowed =
        |c: char| c.is_alphanumeric() || matches!(c, ' ' | '.' | '_' | '-' | '/' | '+' | '@' | ':' | '(' | ')');
    let begins = text.starts_with(|c: char| c.is_alphanumeric() || c == '/');
    let ends = !text.ends_with([' ', ':']);
    // Numbers, and what some readers take for one.
    let numeric = text.parse::<f64>().is_ok()
        || text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'_' | b':' | b'-' | b'e' | b'E'));
    let word = matches!(text.to_ascii_lowercase().as_str(), "true" | "false" | "null" | "y" | "n");
    begins
        && ends
        && !numeric
        && !word
        && text.chars().all(allowed)
        && !text.contains(": ")
        && strict::ambiguous(text).is_none()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_are_quoted_where_readers_could_differ() {
        for plain in ["user1", "Roll out checkout 1.9.0", "2025-10-27T02:19:13Z", "15m", "/usr/sbin/haproxy", "größer"]
        {
            assert_eq!(scalar(plain), plain);
        }
        for quoted in
            ["", "no", "12", "1e5", "1:30", "2025-10-27", "null", "a: b", "a #b", "> 2", "x ", "-a", "*", "{a", "a,b"]
        {
            assert_eq!(scalar(quoted), format!("\"{quoted}\""));
        }
        assert_eq!(scalar("it's \"so\""), "'it''s \"so\"'");
        assert_eq!(scalar("two\nlines\\\""), "\"two\\nlines\\\\\\\"\"");
    }

    #[test]
    fn what_is_short_or_cannot_be_parted_stands_on_one_line() {
        let (fits, long, key) = ("x".repeat(85), "x".repeat(120), "k".repeat(120));
        let entries = [
            ("empty", json!({})),
            ("map", json!({"a": 1})),
            ("list", json!([1, 2])),
            ("width", json!({"fits": [fits, "y"], "over": [format!("{fits}y"), "y"]})),
            ("text", json!(long)),
            (&*key, json!([])),
            ("within", json!({&*key: {}})),
        ];
        let lines = [
            "# first".to_owned(),
            "empty: {}".to_owned(),
            "map:".to_owned(),
            "  a: 1".to_owned(),
            "list: [1, 2]".to_owned(),
            "width:".to_owned(),
            format!("  fits: [{fits}, \"y\"]"),
            "  over:".to_owned(),
            format!("    - {fits}y"),
            "    - \"y\"".to_owned(),
            format!("text: {long}"),
            format!("{key}: []"),
            "within:".to_owned(),
            format!("  {key}: {{}}"),
        ];
        let written = document("# first", &entries);
        assert_eq!(written.lines().collect::<Vec<_>>(), lines);
        assert_eq!(lines[6].len(), WIDTH);
    }

    proptest::proptest! {
        #[test]
        fn every_text_reads_back(text in "[ -~\néü]{0,40}") {
            let yaml = document("# test", &[("key", Value::String(text.clone())), ("flow", serde_json::json!([[text]]))]);
            strict::text(yaml.as_bytes(), 1000).unwrap();
            let back: std::collections::BTreeMap<String, Value> = serde_yaml::from_str(&yaml).unwrap();
            proptest::prop_assert_eq!(&back["key"], &Value::String(text.clone()));
            proptest::prop_assert_eq!(&back["flow"][0][0], &Value::String(text));
        }
    }
}
