//! `man`: manual pages, made from the same texts as the help.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use clap::Args as ClapArgs;
use clap_mangen::Man;

use super::{Failure, Place, terminal};
use crate::model::Reason;

/// Print the manual page, or write one for each verb into a folder
///
/// `git two-key --help` opens the page git-two-key(1) once it is installed where man looks.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key man | man -l -\n  \
    git two-key man --to ~/.local/share/man/man1")]
pub struct Args {
    /// Write git-two-key.1 and a page for each verb into this folder
    #[arg(long, value_name = "FOLDER")]
    to: Option<PathBuf>,
}

/// Prints or writes the pages.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let failed = |error: io::Error| Failure::undecided(Reason::Io, format!("the manual cannot be written: {error}"));
    let pages = pages().map_err(failed)?;
    match &args.to {
        None => {
            if let Some((_, page)) = pages.first() {
                terminal::say_raw(page);
            }
        }
        Some(folder) => {
            let folder = place.folder.join(folder);
            write(&folder, &pages).map_err(failed)?;
            terminal::say(&format!("wrote {} pages into {}", pages.len(), folder.display()));
        }
    }
    Ok(())
}

fn write(folder: &Path, pages: &[(String, Vec<u8>)]) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    pages.iter().try_for_each(|(name, page)| fs::write(folder.join(name), page))
}

/// All pages with their files' names, the program's own first.
fn pages() -> io::Result<Vec<(String, Vec<u8>)>> {
    let mut command = super::command().display_name("git-two-key").disable_help_subcommand(true);
    command.build();
    let mut found = Vec::new();
    collect(&command, &mut found)?;
    Ok(found)
}

/// A command's page, then those of the commands below it.
fn collect(command: &clap::Command, found: &mut Vec<(String, Vec<u8>)>) -> io::Result<()> {
    let name = command.get_display_name().unwrap_or_else(|| command.get_name());
    let mut page = Vec::new();
    Man::new(command.clone()).title(name).manual("Two-key governance in Git").render(&mut page)?;
    // What goes with an option that has no long name is left out of the synopsis.
    let page = String::from_utf8_lossy(&page).replace(r"\fB\-C \fR", r"\fB\-C\fR \fI<PATH>\fR").into_bytes();
    found.push((format!("{name}.1"), page));
    command.get_subcommands().filter(|below| !below.is_hide_set()).try_for_each(|below| collect(below, found))
}
