//! Git's version, and what it does at a few places of a set-up.

use super::{GitError, Repository, command::Program};

/// The oldest Git that works: the first that signs commits with SSH keys.
pub const OLDEST: (u32, u32) = (2, 34);

/// The installed Git's version: major and minor.
pub fn version() -> Result<(u32, u32), GitError> {
    let program = Program::new("git").arg("version");
    let command = program.line();
    let text = program.text()?;
    parse(&text).ok_or(GitError::Answer { command, what: text })
}

/// Reads `git version 2.47.3` and what vendors make of it.
fn parse(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.strip_prefix("git version ")?.split('.').map(str::parse);
    Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
}

impl Repository {
    /// Every value of a configuration key.
    pub fn config_all(&self, name: &str) -> Result<Vec<String>, GitError> {
        let program = self.run(&["config", "--null", "--get-all", name]);
        let command = program.line();
        let output = program.output()?;
        match output.status.code() {
            Some(0 | 1) => {
                let values = output.stdout.split(|byte| *byte == 0).filter(|value| !value.is_empty());
                Ok(values.map(|value| String::from_utf8_lossy(value).into_owned()).collect())
            }
            _ => Err(GitError::Program { command, stderr: output.stderr }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_read_as_vendors_write_them() {
        assert_eq!(parse("git version 2.47.3"), Some((2, 47)));
        assert_eq!(parse("git version 2.39.5 (Apple Git-154)"), Some((2, 39)));
        assert_eq!(parse("git version 3.0.0-rc1"), Some((3, 0)));
        assert_eq!(parse("git version 2.34"), Some((2, 34)));
        assert_eq!(parse("git"), None);
    }
}
