//! `report`: everything on one page.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
};

use clap::Args as ClapArgs;

use super::{
    Failure, Place,
    fresh::ReadSource,
    governed::{Root, Which},
    output,
    session::Session,
    terminal, turn, watch,
};
use crate::{
    model::Reason,
    report::{self, PageOf},
};

/// How often a browser reads a page again that is rewritten, in seconds.
const RELOAD: u32 = 5;

/// Write one HTML page: targets, rollouts, weights, gates, keys
///
/// Verifies what of the ledger was not verified here before, then writes one self-contained file: an overview of all leases; for each a timeline, the weights that
/// were wanted and seen, gate charts from evidence that is judged again, and the keys that were turned with their
/// fingerprints. It needs no network and runs no script, and can be printed or sent. It proves nothing by itself:
/// `verify --all` does.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key report\n  \
    git two-key report checkout-prod --output checkout.html\n  \
    git two-key report --refresh\n\n\
    Exit codes: 0 everything counts; 1 the page is written, and says at its top what did not count.")]
pub struct Args {
    /// Only this lease, by its id or its intent; or a target, with all its leases
    lease: Option<String>,
    /// The file
    #[arg(long, short, value_name = "FILE", default_value = "two-key-report.html")]
    output: PathBuf,
    /// Keep looking, and rewrite the file whenever something has changed; a browser that shows it reads it again
    #[arg(long)]
    refresh: bool,
    #[command(flatten)]
    source: ReadSource,
}

/// Writes the page.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let file = output::within(&place.repository()?, &place.folder, &args.output)?;
    if args.refresh {
        return watch::run(place, &args.source, || {
            let (summary, _) = write(args, &place.anew(), &args.source.tip(), &file)?;
            Ok(move |_| summary.clone())
        });
    }
    let (summary, findings) = write(args, place, &args.source.which(place)?, &file)?;
    terminal::say(&summary);
    if findings == 0 { Ok(()) } else { Err(Failure::Said(1)) }
}

/// Writes the page; what there is to say about that, and how many findings it tells of.
fn write(args: &Args, place: &Place, which: &Which, file: &Path) -> Result<(String, usize), Failure> {
    let session = Session::open(place, which)?;
    let only =
        args.lease.as_ref().map(|handle| session.subject(handle)).transpose()?.map(|subject| session.all_of(&subject));
    let pinned = match session.root {
        Root::Pinned(root) => Some(root),
        Root::Unpinned(_) => None,
    };
    let reports = session.past.all();
    let beside = session.beside_with_history(&session.state.known_leases())?;
    let evidence = terminal::patiently("reading the evidence", || session.evidence(&reports))?;
    let page = PageOf {
        state: &session.state,
        reports: &reports,
        beside: &beside,
        evidence: &evidence,
        pinned,
        branch: &session.branch,
        remarks: &session.remarks,
        made: turn::now(),
        refresh: args.refresh.then_some(RELOAD),
        only: only.as_ref(),
    };
    let page = terminal::patiently("drawing the page", || report::page(&page));
    session.sound()?;
    let failed = |error: &dyn std::fmt::Display| {
        let message = format!("{} cannot be written: {error}", file.display());
        Failure::undecided(Reason::Io, message)
    };
    let page = page.map_err(|error| failed(&error))?;
    replace(file, page.as_bytes()).map_err(|error| failed(&error))?;
    let findings = report::findings(&reports).count();
    let doubts = match findings {
        0 => String::new(),
        some => format!("\nDOES NOT VERIFY: {some} did not count; see each with: git two-key verify --all"),
    };
    Ok((format!("wrote {}{doubts}", args.output.display()), findings))
}

/// Replaces a file as a whole, so that a browser never reads half of it. What is there and is no file (a pipe, `/dev/stdout`) is
/// written to.
fn replace(file: &Path, bytes: &[u8]) -> std::io::Result<()> {
    if fs::metadata(file).is_ok_and(|there| !there.is_file()) {
        return fs::OpenOptions::new().write(true).open(file)?.write_all(bytes);
    }
    let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(folder)?;
    new.write_all(bytes)?;
    // Temporary files are their owner's alone; a report is read by others too.
    new.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
    new.persist(file).map_err(|error| error.error).map(drop)
}
