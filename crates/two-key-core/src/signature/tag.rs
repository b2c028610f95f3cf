//! Annotated tags, read strictly.

use super::{ObjectFormat, commit::person};
use crate::model::{Oid, Reason, Refusal};

/// An annotated tag on a commit.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawTag {
    /// The commit that it is on.
    pub object: Oid,
    /// The name that the tag object itself holds.
    pub name: String,
}

/// The longest name of a tag that is read: no rollout tag's has as many bytes.
const MAX_NAME: usize = 512;

/// Reads a raw tag object: headers object, type, tag, tagger, in this order, each once, nothing else; on a commit; no
/// NUL. A signature at the message's end is part of the message, and ignored.
pub fn parse_tag(raw: &[u8], format: ObjectFormat) -> Result<RawTag, Refusal> {
    if raw.contains(&0) {
        return Err(malformed("it holds a NUL byte"));
    }
    let mut lines = raw.split(|byte| *byte == b'\n');
    let mut value = |word: &str| {
        let value = lines.next().and_then(|line| line.strip_prefix(word.as_bytes())?.strip_prefix(b" "));
        value.ok_or_else(|| malformed(format!("its header `{word}` is not where it belongs")))
    };
    let object = value("object")?;
    let kind = value("type")?;
    let name = value("tag")?;
    let tagger = value("tagger")?;
    let object = format.oid(object).ok_or_else(|| malformed("its object is not an object id of this repository"))?;
    if kind != b"commit" {
        return Err(malformed("it is not on a commit"));
    }
    let name = std::str::from_utf8(name).ok().filter(|name| !name.is_empty() && !name.chars().any(char::is_control));
    if name.is_some_and(|name| name.len() > MAX_NAME) {
        return Err(malformed(format!("its name has more than {MAX_NAME} bytes")));
    }
    let name = name.ok_or_else(|| malformed("its name is empty, not UTF-8, or has control characters"))?.to_owned();
    person(tagger).ok_or_else(|| malformed("its tagger line is not `name <address> seconds zone`"))?;
    // An empty line, and not merely the end of the tagger's.
    if lines.next() != Some(b"") || lines.next().is_none() {
        return Err(malformed("after the tagger there is no empty line"));
    }
    Ok(RawTag { object, name })
}

fn malformed(what: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::Malformed, format!("the tag is malformed: {what}"))
}
