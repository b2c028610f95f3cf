//! Objects, hashed, deflated and written as one pack, which `git index-pack` then takes in and checks.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use flate2::{Compress, Compression, FlushCompress, Status};
use git_two_key::{model::Oid, signature::ObjectFormat};
use sha1::Sha1;
use sha2::{Digest as _, Sha256};

/// What an object is, by its number in packs.
#[derive(Clone, Copy)]
pub enum Kind {
    Commit = 1,
    Tree = 2,
    Blob = 3,
    Tag = 4,
}

/// A pack that is being written.
pub struct Pack {
    path: PathBuf,
    file: BufWriter<File>,
    format: ObjectFormat,
    count: u32,
    deflate: Compress,
    buffer: Vec<u8>,
}

impl Pack {
    /// Begins a pack in a file.
    pub fn create(path: &Path, format: ObjectFormat) -> std::io::Result<Self> {
        let mut file =
            BufWriter::with_capacity(1 << 20, File::options().read(true).write(true).create_new(true).open(path)?);
        file.write_all(b"PACK\0\0\0\x02\0\0\0\0")?;
        let deflate = Compress::new(Compression::default(), true);
        Ok(Self { path: path.to_owned(), file, format, count: 0, deflate, buffer: Vec::new() })
    }

    /// Adds an object; its id.
    pub fn add(&mut self, kind: Kind, bytes: &[u8]) -> std::io::Result<Oid> {
        let (mut size, mut head) = (bytes.len() >> 4, vec![(kind as u8) << 4 | low_bits(bytes.len(), 15)]);
        while size > 0 {
            if let Some(last) = head.last_mut() {
                *last |= 0x80;
            }
            head.push(low_bits(size, 127));
            size >>= 7;
        }
        self.file.write_all(&head)?;
        self.deflate.reset();
        self.buffer.clear();
        self.buffer.reserve(bytes.len() + bytes.len() / 8 + 64);
        let status = self.deflate.compress_vec(bytes, &mut self.buffer, FlushCompress::Finish)?;
        assert_eq!(status, Status::StreamEnd, "the buffer holds any object that does not shrink");
        self.file.write_all(&self.buffer)?;
        self.count += 1;
        Ok(id(kind, bytes, self.format))
    }

    /// Ends the pack and has a repository take it in.
    pub fn into_repository(self, repository: &Path) -> std::io::Result<()> {
        let mut file = self.file.into_inner()?;
        file.seek(SeekFrom::Start(8))?;
        file.write_all(&self.count.to_be_bytes())?;
        file.seek(SeekFrom::Start(0))?;
        let trailer = match self.format {
            ObjectFormat::Sha1 => whole::<Sha1>(&file)?,
            ObjectFormat::Sha256 => whole::<Sha256>(&file)?,
        };
        file.write_all(&trailer)?;
        file.seek(SeekFrom::Start(0))?;
        let ran = super::run::git(repository).args(["index-pack", "--stdin"]).stdin(file).output()?;
        assert!(ran.status.success(), "index-pack: {}", String::from_utf8_lossy(&ran.stderr));
        std::fs::remove_file(self.path)
    }
}

fn low_bits(number: usize, mask: u8) -> u8 {
    u8::try_from(number & usize::from(mask)).unwrap_or(mask)
}

fn whole<D: sha2::Digest>(file: &File) -> std::io::Result<Vec<u8>> {
    let (mut digest, mut reader, mut chunk) = (D::new(), BufReader::new(file), vec![0; 1 << 20]);
    loop {
        match reader.read(&mut chunk)? {
            0 => return Ok(digest.finalize().to_vec()),
            length => digest.update(&chunk[..length]),
        }
    }
}

/// The id of an object.
fn id(kind: Kind, bytes: &[u8], format: ObjectFormat) -> Oid {
    let kind = match kind {
        Kind::Commit => "commit",
        Kind::Tree => "tree",
        Kind::Blob => "blob",
        Kind::Tag => "tag",
    };
    let head = format!("{kind} {}\0", bytes.len());
    let id = match format {
        ObjectFormat::Sha1 => Sha1::new_with_prefix(head).chain_update(bytes).finalize().to_vec(),
        ObjectFormat::Sha256 => Sha256::new_with_prefix(head).chain_update(bytes).finalize().to_vec(),
    };
    Oid::from_bytes(&id).expect("a hash of one of the two lengths")
}
