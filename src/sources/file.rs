//! The `file` source: JSON lines, the embedded default.

use std::{fs, io::Read as _};

use crate::gate::{Answer, Question, Value, answers};

use super::FileSourceConfig;

/// The largest file that is read.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// A metrics file.
#[derive(Debug)]
pub(super) struct FileSource {
    config: FileSourceConfig,
}

impl FileSource {
    pub(super) fn new(config: FileSourceConfig) -> Self {
        Self { config }
    }

    /// Asks the file as it is now.
    pub(super) fn ask(&self, question: &Question) -> Answer {
        match self.text() {
            Ok(text) => answers::lines(question, &text),
            Err(why) => Answer::of(Value::Failed(format!("{}: {why}", self.config.path.display()))),
        }
    }

    fn text(&self) -> Result<String, String> {
        let file = fs::File::open(&self.config.path).map_err(|error| error.to_string())?;
        let mut text = String::new();
        let read = file.take(MAX_BYTES + 1).read_to_string(&mut text).map_err(|error| error.to_string())?;
        if u64::try_from(read).is_ok_and(|read| read <= MAX_BYTES) {
            Ok(text)
        } else {
            Err(format!("it has more than {MAX_BYTES} bytes"))
        }
    }
}
