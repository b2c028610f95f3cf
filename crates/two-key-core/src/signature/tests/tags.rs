//! Tags.

use crate::{
    model::Reason,
    signature::{ObjectFormat, RawTag, parse_tag},
};

const NAME: &str = "rollout/LEASE-20251027-021913/2-promote-25";

fn tag(object: &str, name: &str) -> String {
    format!("object {object}\ntype commit\ntag {name}\ntagger User One <user1@example> 1761531600 +0100\n\nwords\n")
}

fn refused(raw: &str, format: ObjectFormat, what: &str) {
    assert_eq!(parse_tag(raw.as_bytes(), format).map_err(|refusal| refusal.reason), Err(Reason::Malformed), "{what}");
}

#[test]
fn a_tag_is_read_in_the_repository_s_own_format_only() {
    for (format, other, object) in [
        (ObjectFormat::Sha1, ObjectFormat::Sha256, "1".repeat(40)),
        (ObjectFormat::Sha256, ObjectFormat::Sha1, "1".repeat(64)),
    ] {
        let raw = tag(&object, NAME);
        let RawTag { object: found, name } = parse_tag(raw.as_bytes(), format).unwrap();
        assert_eq!((found.to_string(), &*name), (object, NAME));
        refused(&raw, other, "the other format's id");
    }
}

#[test]
fn each_part_of_a_tag_is_where_it_belongs_once() {
    let honest = tag(&"1".repeat(40), NAME);
    let with = |old: &str, new: &str| {
        assert!(honest.contains(old), "{old:?}");
        honest.replacen(old, new, 1)
    };
    for (what, raw) in [
        ("honest", honest.clone()),
        ("no words", with("words\n", "")),
        ("an empty first line of words", with("words", "\nwords")),
        ("a signature", with("words\n", "words\n-----BEGIN SSH SIGNATURE-----\n")),
        ("a name that is not ASCII", with(NAME, "é")),
    ] {
        assert!(parse_tag(raw.as_bytes(), ObjectFormat::Sha1).is_ok(), "{what}");
    }
    for (what, raw) in [
        ("a NUL", with("words", "wo\0rds")),
        ("on a tree", with("type commit", "type tree")),
        ("on a tag", with("type commit", "type tag")),
        ("another order", with("type commit\ntag", "tag commit\ntype")),
        ("no name", with(NAME, "")),
        ("a control character in the name", with(NAME, "rollout\u{7}")),
        ("a return in the name", with(NAME, "rollout\r")),
        ("two names", with("tagger", "tag other\ntagger")),
        ("no date", with(" 1761531600 +0100", "")),
        ("no tagger", with("tagger User One <user1@example> 1761531600 +0100\n", "")),
        ("a header more", with("+0100\n", "+0100\nencoding latin1\n")),
        ("no empty line", with("+0100\n\n", "+0100\n")),
        ("the end after the tagger", with("+0100\n\nwords\n", "+0100\n")),
        ("the end in the tagger", with("+0100\n\nwords\n", "+0100")),
        ("nothing", String::new()),
    ] {
        refused(&raw, ObjectFormat::Sha1, what);
    }
    let bytes = honest.replace(NAME, "\u{fffd}").into_bytes();
    let not_utf8 = bytes.iter().copied().filter(|byte| !matches!(byte, 0xbf | 0xbd)).collect::<Vec<_>>();
    assert!(parse_tag(&not_utf8, ObjectFormat::Sha1).is_err(), "a name that is not UTF-8");
}
