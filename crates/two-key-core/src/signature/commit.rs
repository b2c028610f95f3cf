//! Raw commits: what Git reads from one, the strict form that carriers of votes must have, and who signed others.
//!
//! Headers are read here, from the raw bytes, and nowhere else. A header is a line `<name> <value>`, with lines that
//! begin with a space continuing it; the first empty line ends them. Never looked at: anything after that line, for
//! a signature, or anything in a signature, for a header.

use std::ops::Range;

use memchr::{memchr, memrchr};

use super::{
    ObjectFormat,
    inner::{MEMORY_OF_A_CLAIM, PendingClaim},
    sshsig,
    sshsig::SshSig,
};
use crate::model::{Oid, RawKey, Reason, Refusal};

/// What is needed to walk history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Links {
    /// The commit's tree.
    pub tree: Oid,
    /// Its parents, in header order.
    pub parents: Vec<Oid>,
    /// The committer line's seconds since 1970; 0 if there is no such number, as for Git.
    pub committer_time: u64,
}

/// A commit in the strict form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawCommit<'a> {
    /// Its tree.
    pub tree: Oid,
    /// Its parents, in header order.
    pub parents: Vec<Oid>,
    /// The author line after the word: who, when, zone.
    pub author: &'a [u8],
    /// The committer line after the word.
    pub committer: &'a [u8],
    /// The committer line's seconds since 1970.
    pub committer_time: i64,
    /// The signature header's value, unfolded.
    pub signature: Option<Vec<u8>>,
    /// What a signature covers: the raw bytes without the signature header.
    pub payload: Vec<u8>,
    /// Everything after the headers.
    pub message: &'a [u8],
}

/// A Git signature on a commit that states nothing. Whose it is said to be can be seen; whether it is theirs is checked when
/// somebody asks whose policy lists them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitSignature {
    key: RawKey,
    pub(super) claim: PendingClaim,
}

impl GitSignature {
    /// How many bytes of memory it takes up, about.
    pub const fn weight(&self) -> usize {
        size_of::<Self>() + MEMORY_OF_A_CLAIM
    }

    /// The key whose signature over the commit verifies, if it is one that is asked for. Of others nothing is verified.
    pub fn signer(&self, is_asked_for: impl Fn(RawKey) -> bool) -> Option<RawKey> {
        Some(self.key).filter(|key| is_asked_for(*key) && self.claim.check().is_ok())
    }
}

/// Reads what Git reads to walk history, exactly as it does: the tree's line, the parents' lines directly after it, and the
/// time of a committer's line that comes directly after an author's. Git cannot parse what is refused here.
pub fn links(raw: &[u8], format: ObjectFormat) -> Result<Links, Refusal> {
    let digits = format.hex_digits();
    let (tree, mut rest) =
        pointer(raw, b"tree ", digits).ok_or_else(|| malformed("it does not begin with a tree's line"))?;
    let mut parents = Vec::new();
    // What is too short for a parent's line is no line of ours, whatever it begins with.
    while rest.len() > PARENT.len() + digits && rest.starts_with(PARENT) {
        let (parent, after) =
            pointer(rest, PARENT, digits).ok_or_else(|| malformed("a parent's line has no object id"))?;
        // For Git an object is one thing or the other.
        if parent == tree {
            return Err(malformed("its tree is one of its parents"));
        }
        parents.push(parent);
        rest = after;
    }
    Ok(Links { tree, parents, committer_time: committer_time(rest).unwrap_or(0) })
}

/// What a parent's line begins with.
pub(super) const PARENT: &[u8] = b"parent ";

/// Reads a line `<word><object id>`, and gives what follows it, of which there must be something. Upper-case digits are
/// digits too.
fn pointer<'a>(raw: &'a [u8], word: &[u8], digits: usize) -> Option<(Oid, &'a [u8])> {
    let (id, rest) = raw.strip_prefix(word)?.split_at_checked(digits)?;
    let rest = rest.strip_prefix(b"\n").filter(|rest| !rest.is_empty())?;
    let id = std::str::from_utf8(id).ok()?;
    Some((Oid::parse(id).or_else(|| Oid::parse(&id.to_ascii_lowercase()))?, rest))
}

/// The committer's time, given what follows the parents.
fn committer_time(rest: &[u8]) -> Option<u64> {
    let rest = rest.get(memchr(b'\n', rest.strip_prefix(b"author")?)? + b"author".len() + 1..)?;
    let line = rest.get(..memchr(b'\n', rest)?)?.strip_prefix(b"committer")?;
    let when = line.get(memrchr(b'>', line)? + 1..)?;
    // What C takes for white space depends on who is asked; these are what Git passes over.
    let number = when.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'\r'))?;
    when.get(number..).map(timestamp)
}

/// A number as C reads it into 64 bits: as far as it goes, the largest where it goes too far, a negative one from above.
fn timestamp(text: &[u8]) -> u64 {
    let (negative, digits) = text.strip_prefix(b"-").map_or((false, text), |digits| (true, digits));
    let mut number: u64 = 0;
    for digit in digits.iter().take_while(|digit| digit.is_ascii_digit()) {
        match number.checked_mul(10).and_then(|number| number.checked_add(u64::from(digit - b'0'))) {
            Some(next) => number = next,
            None => return u64::MAX,
        }
    }
    if negative { number.wrapping_neg() } else { number }
}

/// The number before the zone.
fn seconds(when: &[u8]) -> Option<i64> {
    let digits = when.split(|byte| *byte == b' ').next().filter(|digits| digits.iter().all(u8::is_ascii_digit))?;
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// One header, with the lines that continue it.
#[derive(Debug)]
struct CommitHeader<'a> {
    name: &'a [u8],
    /// From after the name's space to before the last line feed, still folded.
    value: &'a [u8],
    /// Where its lines are in the raw bytes, the last line feed included.
    span: Range<usize>,
}

impl CommitHeader<'_> {
    fn unfolded(&self) -> Vec<u8> {
        let mut lines = self.value.split(|byte| *byte == b'\n');
        let mut text = lines.next().unwrap_or_default().to_vec();
        for line in lines {
            text.push(b'\n');
            text.extend_from_slice(line.strip_prefix(b" ").unwrap_or(line));
        }
        text
    }
}

/// Splits a raw commit into its headers and its message.
fn split(raw: &[u8]) -> Option<(Vec<CommitHeader<'_>>, &[u8])> {
    let mut headers: Vec<CommitHeader<'_>> = Vec::new();
    let mut at = 0;
    loop {
        let rest = raw.get(at..)?;
        let length = memchr(b'\n', rest)?;
        let line = rest.get(..length)?;
        let end = at + length + 1;
        if line.is_empty() {
            return Some((headers, raw.get(end..)?));
        }
        if line.starts_with(b" ") {
            let last = headers.last_mut()?;
            last.span.end = end;
            last.value = raw.get(last.span.start + last.name.len() + 1..end - 1)?;
        } else {
            let space = line.iter().position(|byte| *byte == b' ')?;
            headers.push(CommitHeader { name: line.get(..space)?, value: line.get(space + 1..)?, span: at..end });
        }
        at = end;
    }
}

/// The headers that every commit begins with, in the strict form.
struct Front<'a> {
    tree: Oid,
    parents: Vec<Oid>,
    author: &'a [u8],
    committer: &'a [u8],
    committer_time: i64,
}

/// Reads tree, parent…, author, committer, in this order; gives the headers that follow.
fn front<'h, 'a>(
    headers: &'h [CommitHeader<'a>],
    format: ObjectFormat,
) -> Result<(Front<'a>, &'h [CommitHeader<'a>]), Refusal> {
    let mut rest = headers;
    let mut take = |name: &str| {
        let (first, others) = rest.split_first().filter(|(first, _)| first.name == name.as_bytes())?;
        rest = others;
        Some(first.value)
    };
    let tree = take("tree").ok_or_else(|| malformed("it begins with no tree"))?;
    let tree = format.oid(tree).ok_or_else(|| malformed("its tree is not an object id of this repository"))?;
    let mut parents = Vec::new();
    while let Some(parent) = take("parent") {
        let id = format.oid(parent);
        parents.push(id.ok_or_else(|| malformed("a parent is not an object id of this repository"))?);
    }
    let author = take("author").ok_or_else(|| malformed("after the parents there is no author"))?;
    person(author).ok_or_else(|| malformed("its author line is not `name <address> seconds zone`"))?;
    let committer = take("committer").ok_or_else(|| malformed("after the author there is no committer"))?;
    let committer_time =
        person(committer).ok_or_else(|| malformed("its committer line is not `name <address> seconds zone`"))?;
    Ok((Front { tree, parents, author, committer, committer_time }, rest))
}

/// Reads a commit in the strict form: headers tree, parent…, author, committer, at most one signature, nothing else;
/// no NUL anywhere.
pub fn parse_strict(raw: &[u8], format: ObjectFormat) -> Result<RawCommit<'_>, Refusal> {
    if raw.contains(&0) {
        return Err(malformed("it holds a NUL byte"));
    }
    let (headers, message) = split(raw).ok_or_else(|| malformed("its headers do not end in an empty line"))?;
    let (Front { tree, parents, author, committer, committer_time }, rest) = front(&headers, format)?;
    let signature = match rest {
        [] => None,
        [one] if one.name == format.signature_header().as_bytes() => Some(one),
        [header, ..] => {
            let name = String::from_utf8_lossy(header.name).escape_debug().to_string();
            let refusal = malformed(format!(
                "after the committer only one `{}` header is allowed, and there is `{name}`",
                format.signature_header()
            ));
            let adds = match name.as_str() {
                "encoding" => "i18n.commitEncoding adds it: git config --unset i18n.commitEncoding",
                "change-id" => "Jujutsu adds it: sign with git two-key",
                _ => return Err(refusal),
            };
            return Err(refusal.hint(adds));
        }
    };
    Ok(RawCommit {
        tree,
        parents,
        author,
        committer,
        committer_time,
        signature: signature.map(CommitHeader::unfolded),
        payload: signature.map_or_else(|| raw.to_vec(), |header| without(raw, &header.span)),
        message,
    })
}

/// The raw bytes without one header.
fn without(raw: &[u8], span: &Range<usize>) -> Vec<u8> {
    let part = |range: Range<usize>| raw.get(range).unwrap_or_default();
    [part(0..span.start), part(span.end..raw.len())].concat()
}

/// The seconds of a line `name <address> seconds zone`.
pub(super) fn person(line: &[u8]) -> Option<i64> {
    let open = line.iter().position(|byte| *byte == b'<')?;
    let close = line.iter().position(|byte| *byte == b'>')?;
    if close < open || line.iter().filter(|byte| matches!(byte, b'<' | b'>')).count() != 2 || line.contains(&b'\n') {
        return None;
    }
    let when = line.get(close + 1..)?.strip_prefix(b" ")?;
    let zone = when.get(when.len().checked_sub(5)?..)?;
    let sound = matches!(zone.first(), Some(b'+' | b'-')) && zone.iter().skip(1).all(u8::is_ascii_digit);
    let number = when.get(..when.len() - 5)?.strip_suffix(b" ").filter(|_| sound)?;
    if number.contains(&b' ') { None } else { seconds(number) }
}

/// The Git signature that an ordinary commit carries: one signature header, of this repository's
/// name, SSH, over the rest. Whenever anything about the commit could be read in two ways the answer is nobody.
pub(super) fn git_signature(raw: &[u8], format: ObjectFormat) -> Option<GitSignature> {
    if raw.contains(&0) {
        return None;
    }
    let (headers, _) = split(raw)?;
    let (_, rest) = front(&headers, format).ok()?;
    let repeated = |name: &[u8]| matches!(name, b"tree" | b"parent" | b"author" | b"committer");
    let mut signatures = rest.iter().filter(|header| header.name.starts_with(b"gpgsig"));
    let signature = signatures.next().filter(|header| header.name == format.signature_header().as_bytes())?;
    if signatures.next().is_some() || rest.iter().any(|header| repeated(header.name)) {
        return None;
    }
    let armour = String::from_utf8(signature.unfolded()).ok()?;
    let ssh = SshSig::from_armour(&armour).ok()?;
    let claim = ssh.claim(sshsig::GIT, &without(raw, &signature.span)).ok()?;
    Some(GitSignature { key: ssh.key().raw(), claim: claim.into() })
}

impl ObjectFormat {
    /// The header that holds a commit's signature where objects are named with this hash.
    pub const fn signature_header(self) -> &'static str {
        match self {
            Self::Sha1 => "gpgsig",
            Self::Sha256 => "gpgsig-sha256",
        }
    }

    /// How many digits an object id has.
    pub const fn hex_digits(self) -> usize {
        match self {
            Self::Sha1 => 40,
            Self::Sha256 => 64,
        }
    }

    /// Reads an object id of this format, lower-case, and nothing else.
    pub(super) fn oid(self, digits: &[u8]) -> Option<Oid> {
        let oid = Oid::parse(std::str::from_utf8(digits).ok()?)?;
        let fits = matches!((self, &oid), (Self::Sha1, Oid::Sha1(_)) | (Self::Sha256, Oid::Sha256(_)));
        fits.then_some(oid)
    }
}

fn malformed(what: impl std::fmt::Display) -> Refusal {
    Refusal::new(Reason::Malformed, format!("the commit is malformed: {what}"))
}
