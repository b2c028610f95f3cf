//! Table: a file of records by key, written once, then read here and there. What it costs to read a record does not depend on
//! how many others there are.
//!
//! ```text
//! buckets of records, a directory of the buckets, a head, and at the end where the directory and the head are
//! ```
//!
//! Every part is preceded by its SHA-256, with its number hashed in, so that nothing that is broken, or stands in
//! another's place, is ever taken for a record, or for the lack of one.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufWriter, Write as _},
    os::unix::fs::{FileExt as _, MetadataExt as _},
    path::Path,
};

use rustix::process::geteuid;
use sha2::{Digest as _, Sha256};

/// Records in a bucket, on average.
const PER_BUCKET: usize = 2;
/// A SHA-256.
const SUM: usize = 32;
/// Two numbers: where, and how long.
const PLACE: usize = 16;
/// The number that is hashed in with the head, and with the end. Buckets are numbered from 0.
const HEAD: u64 = u64::MAX;
const END: u64 = u64::MAX - 1;

/// A table that is read.
#[derive(Debug)]
pub(super) struct Table {
    file: File,
    directory: u64,
    buckets: u64,
}

impl Table {
    /// Opens a table and reads its head. An error if it is not whole, or if others may write to it.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Vec<u8>)> {
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || !only_mine(metadata.uid(), metadata.mode()) {
            return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others own it, or may write it"));
        }
        let size = (SUM + 2 * PLACE) as u64;
        let end = part(&file, END, metadata.len().checked_sub(size).ok_or_else(broken)?, size)?;
        let number = |at: usize| Some(u64::from_be_bytes(*end.get(at * 8..)?.first_chunk()?));
        let numbers = (number(0), number(1), number(2), number(3));
        let (Some(directory), Some(buckets), Some(head), Some(length)) = numbers else { return Err(broken()) };
        let head = part(&file, HEAD, head, length)?;
        Ok((Self { file, directory, buckets }, head))
    }

    /// Whether this is still the file at a path.
    pub(super) fn is_at(&self, path: &Path) -> io::Result<bool> {
        let (here, there) = (self.file.metadata()?, path.metadata()?);
        Ok((here.dev(), here.ino()) == (there.dev(), there.ino()))
    }

    /// About how many records there are.
    pub(super) fn size(&self) -> u64 {
        self.buckets * PER_BUCKET as u64
    }

    /// The record of a key.
    pub(super) fn get(&self, key: &str) -> io::Result<Option<Vec<u8>>> {
        let bucket = bucket_of(key, self.buckets);
        Ok(self.bucket(bucket)?.into_iter().find(|(other, _)| other == key).map(|(_, record)| record))
    }

    /// Every record.
    pub(super) fn all(&self) -> io::Result<BTreeMap<String, Vec<u8>>> {
        let mut all = BTreeMap::new();
        for bucket in 0..self.buckets {
            all.extend(self.bucket(bucket)?);
        }
        Ok(all)
    }

    fn bucket(&self, bucket: u64) -> io::Result<Vec<(String, Vec<u8>)>> {
        let mut place = [0; PLACE];
        self.file.read_exact_at(&mut place, self.directory + bucket * PLACE as u64)?;
        let [at, length] = [&place[..8], &place[8..]].map(|number| number.try_into().map_or(0, u64::from_be_bytes));
        let bytes = part(&self.file, bucket, at, length)?;
        let (mut records, mut rest) = (Vec::new(), bytes.as_slice());
        while !rest.is_empty() {
            let (key, after) = counted(rest).ok_or_else(broken)?;
            let (record, after) = counted(after).ok_or_else(broken)?;
            records.push((String::from_utf8(key.to_vec()).map_err(|_| broken())?, record.to_vec()));
            rest = after;
        }
        Ok(records)
    }

    /// Writes a table.
    pub(super) fn write(file: &File, head: &[u8], records: &BTreeMap<String, Vec<u8>>) -> io::Result<()> {
        let buckets = records.len().div_ceil(PER_BUCKET).max(1);
        let mut contents = vec![Vec::new(); buckets];
        for (key, record) in records {
            let bucket = usize::try_from(bucket_of(key, buckets as u64)).unwrap_or_default();
            if let Some(content) = contents.get_mut(bucket) {
                for part in [key.as_bytes(), record] {
                    content.extend_from_slice(&(part.len() as u64).to_be_bytes());
                    content.extend_from_slice(part);
                }
            }
        }
        let mut out = BufWriter::with_capacity(1 << 18, file);
        let (mut at, mut directory) = (0, Vec::with_capacity(buckets * PLACE));
        let mut put = |number: u64, content: &[u8]| -> io::Result<[u8; PLACE]> {
            out.write_all(&sum(number, content))?;
            out.write_all(content)?;
            let (from, length) = (at, (SUM + content.len()) as u64);
            at += length;
            let mut place = [0; PLACE];
            place[..8].copy_from_slice(&from.to_be_bytes());
            place[8..].copy_from_slice(&length.to_be_bytes());
            Ok(place)
        };
        for (number, content) in (0..).zip(&contents) {
            directory.extend(put(number, content)?);
        }
        let head = put(HEAD, head)?;
        let places = (at, buckets as u64);
        out.write_all(&directory)?;
        let end = [places.0.to_be_bytes().as_slice(), &places.1.to_be_bytes(), &head].concat();
        out.write_all(&sum(END, &end))?;
        out.write_all(&end)?;
        out.flush()
    }
}

/// Whether nobody else may write a file. What others may write is nobody's memory.
fn only_mine(owner: u32, mode: u32) -> bool {
    owner == geteuid().as_raw() && mode & 0o022 == 0
}

/// Reads a part of a file and checks that it is that part.
fn part(file: &File, number: u64, at: u64, length: u64) -> io::Result<Vec<u8>> {
    // A length that is nonsense must not make us ask for so much memory.
    let size = file.metadata()?.len();
    if at.checked_add(length).is_none_or(|end| end > size) || length < SUM as u64 {
        return Err(broken());
    }
    let mut bytes = vec![0; usize::try_from(length).map_err(|_| broken())?];
    file.read_exact_at(&mut bytes, at)?;
    let content = bytes.split_off(SUM);
    if bytes == sum(number, &content) { Ok(content) } else { Err(broken()) }
}

fn sum(number: u64, content: &[u8]) -> [u8; SUM] {
    Sha256::new_with_prefix(number.to_be_bytes()).chain_update(content).finalize().into()
}

fn bucket_of(key: &str, buckets: u64) -> u64 {
    let hash: [u8; SUM] = Sha256::digest(key.as_bytes()).into();
    hash.first_chunk().map_or(0, |first| u64::from_be_bytes(*first)) % buckets.max(1)
}

/// Splits off bytes that are preceded by their number.
fn counted(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u64::from_be_bytes(*length)).ok()?)
}

fn broken() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "not a whole table")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> BTreeMap<String, Vec<u8>> {
        (0..40_u8).map(|number| (format!("key-{number}"), vec![number; usize::from(number)])).collect()
    }

    fn written(head: &[u8], records: &BTreeMap<String, Vec<u8>>) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        Table::write(file.as_file(), head, records).unwrap();
        file
    }

    #[test]
    fn what_was_written_is_found_and_what_was_not_is_not() {
        let file = written(b"a head", &records());
        let (table, head) = Table::open(file.path()).unwrap();
        assert_eq!(head, b"a head");
        assert_eq!(table.all().unwrap(), records());
        for (key, record) in records() {
            assert_eq!(table.get(&key).unwrap(), Some(record));
        }
        assert_eq!(table.get("key-40").unwrap(), None);
        let empty = written(b"", &BTreeMap::new());
        assert_eq!(Table::open(empty.path()).unwrap().0.get("key-1").unwrap(), None);
    }

    #[test]
    fn no_flipped_byte_is_taken_for_anything_that_was_written_or_for_the_lack_of_it() {
        let file = written(b"a head", &records());
        let whole = std::fs::read(file.path()).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 0x10;
            let other = tempfile::NamedTempFile::new().unwrap();
            std::fs::write(other.path(), bytes).unwrap();
            let Ok((table, head)) = Table::open(other.path()) else { continue };
            assert_eq!(head, b"a head");
            for (key, record) in records() {
                assert!(table.get(&key).map_or(true, |found| found == Some(record)), "byte {at}, {key}");
            }
        }
    }

    #[test]
    fn a_part_that_is_not_within_the_file_is_broken() {
        let file = written(b"a head", &records());
        let size = file.as_file().metadata().unwrap().len();
        for (at, length) in [(size, 40), (size - 39, 40), (0, size + 1), (0, 31), (u64::MAX, 40), (1, u64::MAX)] {
            let error = part(file.as_file(), 0, at, length).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{at} {length}");
        }
    }

    #[test]
    fn only_a_file_of_ones_own_that_others_cannot_write_is_trusted() {
        let me = geteuid().as_raw();
        for (owner, mode, trusted) in
            [(me, 0o600, true), (me, 0o644, true), (me, 0o620, false), (me, 0o602, false), (me + 1, 0o600, false)]
        {
            assert_eq!(only_mine(owner, mode), trusted, "{owner} {mode:o}");
        }
    }

    #[test]
    fn what_others_may_write_is_not_read() {
        use std::os::unix::fs::PermissionsExt as _;
        let file = written(b"a head", &records());
        assert!(Table::open(file.path()).is_ok());
        file.as_file().set_permissions(std::fs::Permissions::from_mode(0o620)).unwrap();
        assert!(Table::open(file.path()).is_err());
    }
}
