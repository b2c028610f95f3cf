//! Notes.

use crate::{
    model::Reason,
    signature::{
        Inbox, UncheckedEntry, open_note,
        testing::{Key, armour, principal, statement},
    },
};

const LEASE: &str = "LEASE-20251027-021913";

fn entry(key: &Key, action: &str) -> String {
    let text = statement(action, LEASE).text();
    format!("{text}{}", armour(&key.base64("two-key", text.as_bytes()), 70))
}

fn reasons(note: &str) -> Vec<Result<(), Reason>> {
    let entries = open_note(note.as_bytes(), &principal("user1"), &[]);
    entries.into_iter().map(|entry| entry.opened.map(|_| ()).map_err(|refusal| refusal.reason)).collect()
}

#[test]
fn entries_open_one_by_one_and_a_bad_one_spoils_no_other() {
    let (a, b) = (entry(&Key::ssh(1), "cosign"), entry(&Key::hardware(2, 1), "start"));
    assert_eq!(reasons(""), []);
    assert_eq!(reasons("\n\n"), []);
    assert_eq!(reasons(&a), [Ok(())]);
    assert_eq!(reasons(a.trim_end()), [Ok(())]);
    assert_eq!(reasons(&format!("\n{a}\n\n\n{b}\n")), [Ok(()), Ok(())]);
    assert_eq!(reasons(&format!("{a}{b}")), [Ok(()), Ok(())]);
    assert_eq!(reasons(&a.replace("-----BEGIN", "\n-----BEGIN")), [Ok(())], "appended in two parts");
    let lifted = a.replace("021913", "021914");
    assert_eq!(reasons(&format!("{a}\n{lifted}\n{b}")), [Ok(()), Err(Reason::BadSignature), Ok(())]);
    for (what, bad) in [
        ("words before", format!("hello\n\n{a}")),
        ("words after", format!("{a}\nhello\n{b}")),
        ("no signature", format!("{}\n{a}", statement("start", LEASE).text())),
        ("a remark", format!("{}\n{b}", a.replacen("-----BEGIN", "Two-Key-Principal: user1\n-----BEGIN", 1))),
        ("an indented statement", format!("{}\n{b}", a.replace("Two-Key-Action", " Two-Key-Action"))),
        ("two signatures", format!("{a}{}\n{b}", armour(&Key::ssh(1).base64("two-key", b"x"), 70))),
        ("crlf", format!("{}\n{b}", a.replace('\n', "\r\n"))),
    ] {
        let opened = reasons(&bad);
        assert_eq!(opened.iter().filter(|entry| **entry == Err(Reason::Malformed)).count(), 1, "{what}: {opened:?}");
        assert_eq!(opened.len(), 2, "{what}");
    }
}

#[test]
fn the_same_entry_twice_is_opened_once_however_it_is_written() {
    let (a, b) = (entry(&Key::ssh(1), "cosign"), entry(&Key::ssh(1), "start"));
    let apart = a.replace("-----BEGIN", "\n-----BEGIN");
    assert_eq!(reasons(&format!("{a}\n\n{a}{apart}{b}hello\n{a}{b}hello\n")).len(), 2);
    let user1 = principal("user1");
    let mut inbox = Inbox::new(&user1, &[]);
    assert_eq!(inbox.open(a.as_bytes()).count(), 1);
    assert_eq!(inbox.open(format!("{apart}{b}").as_bytes()).count(), 1);
    // What another one's ref holds is somebody else's.
    assert_eq!(Inbox::new(&principal("user2"), &[]).open(a.as_bytes()).count(), 1);
}

#[test]
fn of_what_is_there_twice_the_last_stays() {
    let (a, b) = (entry(&Key::ssh(1), "cosign"), entry(&Key::ssh(1), "start"));
    let user1 = principal("user1");
    let read = Inbox::new(&user1, &[]).read(format!("{a}\n{b}\n{a}").as_bytes());
    let texts: Vec<_> = read.iter().map(UncheckedEntry::text).collect();
    assert_eq!(texts, [b.trim(), a.trim()]);
}

#[test]
fn what_needs_no_other_key_waits_in_no_note() {
    assert_eq!(reasons(&entry(&Key::ssh(1), "start")), [Ok(())]);
    for action in ["pause", "halt", "rollback", "withdraw"] {
        assert_eq!(reasons(&entry(&Key::ssh(1), action)), [Err(Reason::Malformed)], "{action}");
    }
}

#[test]
fn what_is_no_text_or_too_large_is_one_refused_entry() {
    let refusal = |note: &[u8]| open_note(note, &principal("user1"), &[]).remove(0).opened.unwrap_err().reason;
    assert_eq!(refusal(b"\xff"), Reason::Malformed);
    assert_eq!(refusal(&vec![b'\n'; 1024 * 1024 + 1]), Reason::TooLarge);
}
