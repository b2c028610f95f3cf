//! Strict YAML: what is refused before a document is given any meaning.
//!
//! A file that is signed must say the same to whoever reads it, with whatever program. So there is one document, no
//! anchor, alias, tag or merge key, no key twice, nothing invisible, and no plain word that YAML 1.1 takes for
//! something else than YAML 1.2 does.

use std::{borrow::Cow, collections::HashSet};

use granit_parser::{Event, Options, Parser, ScalarStyle, Span as Place, Tag};

use super::{DocumentError, Problem};
use crate::model::{MAX_FILE_BYTES, Reason, text::is_hidden};

/// How deep mappings and lists may nest.
const MAX_DEPTH: usize = 16;
/// How what Git LFS leaves in a file's place begins.
const LFS_POINTER: &str = "version https://git-lfs.github.com/spec/";

/// Refuses bytes that are not strict YAML of at most so many values, and gives their text. What a value costs to read is far
/// more than its bytes do.
pub(super) fn text(bytes: &[u8], most_values: usize) -> Result<&str, DocumentError> {
    if bytes.len() > MAX_FILE_BYTES {
        let message = format!("the file has {} bytes; at most {MAX_FILE_BYTES} are read", bytes.len());
        return Err(DocumentError::one(Reason::TooLarge, 0, 0, message));
    }
    let text = std::str::from_utf8(bytes).map_err(|error| {
        let (line, column) = position(bytes, error.valid_up_to());
        DocumentError::one(Reason::Malformed, line, column, "the file is not UTF-8")
    })?;
    if text.starts_with(LFS_POINTER) {
        return Err(DocumentError::one(Reason::Malformed, 1, 1, "this is a Git LFS pointer, not the file"));
    }
    if let Some((at, character)) = first_hidden(text) {
        let (line, column) = position(bytes, at);
        return Err(DocumentError::one(Reason::Malformed, line, column, hidden(character)));
    }
    EventWalk::default().run(text, most_values)?;
    Ok(text)
}

/// The first hidden character that is no line feed, and the byte that it begins at.
fn first_hidden(text: &str) -> Option<(usize, char)> {
    // Nearly every text is of these only.
    if text.bytes().all(|byte| matches!(byte, b'\n' | b' '..=b'~')) {
        return None;
    }
    text.char_indices().find(|(_, c)| *c != '\n' && is_hidden(*c))
}

fn hidden(character: char) -> String {
    let hint = match character {
        '\r' => return "Windows line ends (CR LF); a governed file has LF alone".to_owned(),
        '\t' => " (a tab; indent with spaces)",
        _ => "",
    };
    format!("the character U+{:04X} is invisible or changes how text is shown{hint}", u32::from(character))
}

/// Line and column of a byte, both from 1; the column counts characters.
fn position(bytes: &[u8], at: usize) -> (u32, u32) {
    let before = bytes.get(..at).unwrap_or(bytes);
    let start = before.iter().rposition(|b| *b == b'\n').map_or(0, |newline| newline + 1);
    let line = before.split(|b| *b == b'\n').count() - 1;
    let column = String::from_utf8_lossy(before.get(start..).unwrap_or_default()).chars().count();
    (from_one(line), from_one(column))
}

fn from_one(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX).saturating_add(1)
}

/// An open mapping or list.
enum OpenNode {
    List,
    /// The keys so far, and whether a key comes next.
    Mapping(HashSet<String>, bool),
}

/// Whether an event begins a key, a text, a list or a mapping.
fn is_value(event: &Event<'_>) -> bool {
    matches!(event, Event::Scalar(..) | Event::SequenceStart(..) | Event::MappingStart(..))
}

/// One pass over the parser's events.
#[derive(Default)]
struct EventWalk {
    open: Vec<OpenNode>,
    documents: usize,
}

impl EventWalk {
    fn run(mut self, text: &str, most_values: usize) -> Result<(), DocumentError> {
        let malformed = |problem| DocumentError { reason: Reason::Malformed, problems: vec![problem] };
        let mut values = 0;
        // Comments are no events, whether somebody else has the library built with them or not.
        let mut options = Options::default();
        options.set_emit_comments(false);
        for event in Parser::new_from_str_with_options(text, options) {
            let (event, place) = event.map_err(|error| {
                let mark = error.marker();
                malformed(problem_at(mark.line(), mark.col(), format!("not YAML: {}", error.info())))
            })?;
            let at = |message: Cow<'static, str>| problem_at(place.start.line(), place.start.col(), message);
            values += usize::from(is_value(&event));
            if values > most_values {
                let problem = at(format!("more than {most_values} values, keys and lists among them").into());
                return Err(DocumentError { reason: Reason::TooLarge, problems: vec![problem] });
            }
            self.event(&event, &place).map_err(|message| malformed(at(message)))?;
        }
        Ok(())
    }

    fn event(&mut self, event: &Event<'_>, place: &Place) -> Result<(), Cow<'static, str>> {
        match event {
            Event::DocumentStart(_, version) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err("a second document begins here; a file holds one".into());
                }
                if version.is_some() { Err("directives are not allowed".into()) } else { Ok(()) }
            }
            Event::Scalar(value, style, anchor, tag) => {
                plain_node(*anchor, tag.as_deref())?;
                self.scalar(value, *style, place)
            }
            Event::SequenceStart(_, anchor, tag) => {
                plain_node(*anchor, tag.as_deref())?;
                self.enter(OpenNode::List)
            }
            Event::MappingStart(_, anchor, tag) => {
                plain_node(*anchor, tag.as_deref())?;
                self.enter(OpenNode::Mapping(HashSet::new(), true))
            }
            Event::SequenceEnd | Event::MappingEnd => {
                self.open.pop();
                Ok(())
            }
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            // Aliases, and whatever a later version of the parser adds.
            _ => Err("aliases are not allowed; write the value out".into()),
        }
    }

    fn enter(&mut self, collection: OpenNode) -> Result<(), Cow<'static, str>> {
        if let Some(OpenNode::Mapping(_, key_next)) = self.open.last_mut() {
            if *key_next {
                return Err("a key must be a word".into());
            }
            *key_next = true;
        }
        if self.open.len() >= MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH}").into());
        }
        self.open.push(collection);
        Ok(())
    }

    fn scalar(&mut self, value: &str, style: ScalarStyle, place: &Place) -> Result<(), Cow<'static, str>> {
        if let Some((_, character)) = first_hidden(value) {
            return Err(hidden(character).into());
        }
        if style == ScalarStyle::Plain {
            if place.start.line() != place.end.line() {
                return Err("an unquoted value goes over several lines; quote it".into());
            }
            // The parser gives what is not there as a tilde.
            if place.start.index() == place.end.index() {
                return Err("a value is missing; write `null`, or leave the key out".into());
            }
            if let Some(why) = ambiguous(value) {
                return Err(format!("`{value}` {why}").into());
            }
        }
        let Some(OpenNode::Mapping(keys, key_next)) = self.open.last_mut() else { return Ok(()) };
        let is_key = std::mem::replace(key_next, !*key_next);
        if is_key && value == "<<" {
            return Err("merge keys are not allowed".into());
        }
        if is_key && !keys.insert(value.to_owned()) {
            return Err(format!("the key `{value}` stands here twice").into());
        }
        Ok(())
    }
}

fn plain_node(anchor: usize, tag: Option<&Tag>) -> Result<(), Cow<'static, str>> {
    match (anchor, tag) {
        (0, None) => Ok(()),
        (0, Some(_)) => Err("tags are not allowed".into()),
        _ => Err("anchors are not allowed".into()),
    }
}

/// Why different readers may take a plain scalar for different things, if they may.
pub(super) fn ambiguous(value: &str) -> Option<&'static str> {
    let lower = if value.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(value.to_ascii_lowercase())
    } else {
        Cow::Borrowed(value)
    };
    let number = lower.trim_start_matches(['+', '-']);
    let digits = |text: &str, good: fn(u8) -> bool| !text.is_empty() && text.bytes().all(|b| good(b) || b == b'_');
    let based = number.strip_prefix("0x").is_some_and(|rest| digits(rest, |b| b.is_ascii_hexdigit()))
        || number.strip_prefix("0o").is_some_and(|rest| digits(rest, |b| b.is_ascii_digit()))
        || number.strip_prefix("0b").is_some_and(|rest| digits(rest, |b| matches!(b, b'0' | b'1')));
    let grouped = number.starts_with(|c: char| c.is_ascii_digit())
        && number.contains('_')
        && number.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'_' | b'.'));
    let signed = value.starts_with('+') && number.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let sixty = number.contains(':') && number.bytes().all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.'));
    match lower.as_ref() {
        "~" => Some("must be written `null`"),
        "yes" | "no" | "on" | "off" => Some("is true or false to some readers; quote it, or write `true` or `false`"),
        "true" | "false" | "null" if lower != value => Some("must be written in lower case"),
        ".inf" | "+.inf" | "-.inf" | ".nan" => Some("is not a finite number"),
        "=" => Some("means something to some readers; quote it"),
        _ if based || grouped || signed || sixty => {
            Some("is a number to some readers only; write it plainly, or quote it")
        }
        _ => None,
    }
}

fn problem_at(line: usize, column: usize, message: impl Into<String>) -> Problem {
    let line = u32::try_from(line).unwrap_or(u32::MAX);
    Problem { line, column: from_one(column), message: message.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> Result<&str, DocumentError> {
        super::text(bytes, 1000)
    }

    fn refused(yaml: &str) -> String {
        text(yaml.as_bytes()).expect_err(yaml).to_string()
    }

    #[test]
    fn ordinary_yaml_passes() {
        let good = "# a comment\na: 1\nb: [x, 'yes', \"é\"]\nc: {d: null, e: \"a\\nb\"}\nf: 0b1e5f\ng: sha256:00\nh: |\n  two\n  lines\n";
        assert_eq!(text(good.as_bytes()).unwrap(), good);
        assert!(text(b"---\na: 1\n").is_ok());
    }

    #[test]
    fn comments_may_be_long() {
        let comments = "  # one more\n".repeat(200);
        for good in
            [format!("a:\n{comments}  - 1\n"), format!("a:\n{comments}  b: 1\n"), format!("a: [\n{comments}  1]\n")]
        {
            assert_eq!(text(good.as_bytes()).unwrap(), good);
        }
    }

    #[test]
    fn each_strictness_refuses_at_its_place() {
        for (yaml, place, word) in [
            ("a: &x 1\n", "1:", "anchors"),
            ("a: 1\nb: *x\n", "2:", ""),
            ("a: !!str 1\n", "1:", "tags"),
            ("a: ! 1\n", "1:", "tags"),
            ("a: !local {b: 1}\n", "1:", "tags"),
            ("a: 1\n<<: {b: 1}\n", "2:1", "merge"),
            ("a: 1\n\"<<\": {b: 1}\n", "2:1", "merge"),
            ("a: 1\na: 2\n", "2:1", "twice"),
            ("a: {b: 1, \"b\": 2}\n", "1:11", "twice"),
            ("? [a]\n: 1\n", "1:", "word"),
            ("a: 1\n---\nb: 1\n", "2:1", "second"),
            ("%YAML 1.1\n---\na: 1\n", "", "directive"),
            ("a: no\n", "1:4", "quote"),
            ("a: On\n", "1:4", "quote"),
            ("a: True\n", "1:4", "lower"),
            ("a: ~\n", "1:4", "null"),
            ("a:\n", "1:", "missing"),
            ("a: 0x10\n", "1:4", "number"),
            ("a: 0o17\n", "1:4", "number"),
            ("a: 0b11\n", "1:4", "number"),
            ("a: 1_000\n", "1:4", "number"),
            ("a: +1\n", "1:4", "number"),
            ("a: +.5\n", "1:4", "number"),
            ("a: 1:30\n", "1:4", "number"),
            ("a: .inf\n", "1:4", "finite"),
            ("a: b\n  c\n", "1:4", "lines"),
            ("a: \"\\u202e\"\n", "1:4", "U+202E"),
            ("a: \"\\0\"\n", "1:4", "U+0000"),
            ("a: [1\n", "", "not YAML"),
        ] {
            let error = refused(yaml);
            assert!(error.starts_with(place) && error.contains(word), "{yaml:?}: {error}");
        }
    }

    #[test]
    fn words_that_begin_as_numbers_do_pass() {
        for word in ["0o", "0o17x", "0xy", "0b12", "+x", "+", "1_x", "12:x"] {
            assert!(text(format!("a: {word}\n").as_bytes()).is_ok(), "{word}");
        }
    }

    #[test]
    fn a_tab_is_called_one() {
        assert!(refused("a:\t1\n").contains("(a tab; indent with spaces)"));
        assert!(!refused("a: \u{200b}1\n").contains("tab"));
    }

    #[test]
    fn a_git_lfs_pointer_is_called_one() {
        let pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0f\nsize 12\n";
        assert!(refused(pointer).contains("a Git LFS pointer"));
        assert!(!refused("version: \t1\n").contains("LFS"));
    }

    #[test]
    fn hidden_characters_are_refused_everywhere() {
        let ranges = [0..=9u32, 0xb..=0x1f, 0x7f..=0x9f, 0x200b..=0x200f, 0x2028..=0x202e, 0x2066..=0x2069];
        for code in ranges.into_iter().flatten().chain([0x61c, 0xfeff, 0xad, 0x2060, 0xe0041]) {
            let character = char::from_u32(code).unwrap();
            for yaml in
                [format!("a: 1 # x{character}y\n"), format!("a: \"x{character}y\"\n"), format!("{character}a: 1\n")]
            {
                let named = if character == '\r' { "CR LF".to_owned() } else { format!("U+{code:04X}") };
                assert!(refused(&yaml).contains(&named), "{code:x}");
            }
        }
        assert_eq!(refused("a: 1\nbé: \t1\n").split(' ').next(), Some("2:5:"));
    }

    #[test]
    fn size_depth_and_encoding_have_limits() {
        let largest = format!("a: 1 #{}", "x".repeat(MAX_FILE_BYTES - 6));
        assert!(text(largest.as_bytes()).is_ok());
        // The mapping, its key, the list and what is in it.
        let many = |texts: usize| format!("a: [{}]\n", vec!["1"; texts].join(", "));
        assert!(text(many(997).as_bytes()).is_ok());
        assert_eq!(text(many(998).as_bytes()).unwrap_err().reason, Reason::TooLarge);
        assert_eq!(text(format!("{largest}x").as_bytes()).unwrap_err().reason, Reason::TooLarge);
        let nested = |depth: usize| format!("{}{}\n", "[".repeat(depth), "]".repeat(depth));
        assert!(text(nested(MAX_DEPTH).as_bytes()).is_ok());
        assert!(refused(&nested(MAX_DEPTH + 1)).contains("deeper"));
        assert!(refused(&"[".repeat(60_000)).starts_with("1:"));
        assert_eq!(text(b"a: 1\nb: \xff\n").unwrap_err().to_string(), "2:4: the file is not UTF-8");
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            let _ = text(&bytes);
        }

        #[test]
        fn no_yaml_like_text_makes_it_panic(yaml in "[a-c:\\-\\[\\]{}&*!<>|#'\"%?,~ \n]{0,200}") {
            let _ = text(yaml.as_bytes());
        }
    }
}
