//! `statement`: the text that a key is turned for.

use clap::Args as ClapArgs;

use super::{Failure, Place, fresh::ReadSource, ground::Ground, session::Session, terminal};
use crate::{
    ledger,
    model::{Action, Fingerprint, Nonce, PrincipalId, Reason, Refusal, Statement},
    report, signature,
};

/// Print the statement for an action
///
/// Prints exactly the bytes that a key signs, as the ledger's present state has them: the lease's digest, the
/// number of the next step, the next tier. Sign them with `ssh-keygen -Y sign -n two-key` or `minisign -S`, or, with
/// --message, as the message of a commit signed by Git. Impossible actions are refused with their reason.
#[derive(Debug, ClapArgs)]
#[command(after_long_help = "Examples:\n  \
    git two-key statement --message promote checkout-prod > m\n  \
    git push origin \\\n    \
    \"$(git -c gpg.format=ssh commit-tree -S -p main -F m 'main^{tree}')\":main\n\n  \
    git two-key statement promote checkout-prod > s\n  \
    ssh-keygen -Y sign -n two-key -f ~/.ssh/id_ed25519 s\n  \
    cat s s.sig | git notes --ref two-key/user1 append -F - \\\n    \
    \"$(git rev-parse \"main:$(git ls-files leases)\")\"")]
pub struct Args {
    /// cosign, start, promote, resume, complete, pause, halt, rollback, withdraw, policy, revoke, freeze or thaw
    #[arg(value_parser = action)]
    action: Action,
    /// The lease: its id, its intent or its target
    lease: Option<String>,
    /// The key to revoke, by its fingerprint
    #[arg(long, value_name = "FINGERPRINT")]
    key: Option<String>,
    /// Print a commit message: a subject, an empty line, the statement, and who signs
    #[arg(long)]
    message: bool,
    /// Who signs the commit; by default the owner of Git's signing key
    #[arg(long, value_name = "NAME", requires = "message")]
    principal: Option<String>,
    #[command(flatten)]
    source: ReadSource,
}

fn action(word: &str) -> Result<Action, String> {
    Action::from_word(word).ok_or_else(|| {
        let words: Vec<_> = Action::ALL.iter().map(|action| action.word()).collect();
        format!("the actions are {}", words.join(", "))
    })
}

/// Prints the statement.
pub fn run(args: &Args, place: &Place) -> Result<(), Failure> {
    let takes_lease = !matches!(args.action, Action::Policy | Action::Revoke | Action::Freeze | Action::Thaw);
    if args.lease.is_some() != takes_lease {
        let takes = if takes_lease { "needs a lease" } else { "takes no lease" };
        return Err(Failure::Usage(format!("{} {takes}", args.action)));
    }
    if args.key.is_some() != (args.action == Action::Revoke) {
        return Err(Failure::Usage("--key goes with revoke, and revoke needs it".to_owned()));
    }
    let which = args.source.which(place)?;
    match Session::open(place, &which) {
        Ok(session) => {
            for remark in &session.remarks {
                terminal::remark(remark);
            }
            let statement = next(args, &session)?;
            print(args, &statement, || principal(args, &session))
        }
        Err(Failure::Undecided(refusal)) if args.action.stops() => {
            terminal::remark(&format!(
                "unverified: the ledger cannot be read here ({}); a stop goes on",
                refusal.message
            ));
            let ground = Ground::open(place, &which)?;
            let lease = args.lease.as_ref().map(|handle| ground.lease(handle)).transpose()?;
            let nonce = Nonce::from_bytes(rand::random());
            let statement = ground.words.first().and_then(|word| word.statement(args.action, lease, nonce));
            let statement = statement.ok_or(Failure::Undecided(refusal))?;
            print(args, &statement, || named(args))
        }
        Err(failure) => Err(failure),
    }
}

/// The statement that the ledger is ready for.
fn next(args: &Args, session: &Session) -> Result<Statement, Failure> {
    let lease = args.lease.as_ref().map(|handle| session.lease(handle, Some(args.action))).transpose()?;
    let about = lease.as_ref().map_or_else(|| args.action.to_string(), ToString::to_string);
    let key = args.key.as_deref().map(fingerprint).transpose()?;
    let nonce = Nonce::from_bytes(rand::random());
    let statement = ledger::next_statement(&session.state, args.action, lease.as_ref(), key.as_ref(), &nonce);
    session.sound()?;
    statement.map_err(|refusal| Failure::refused(about, refusal))
}

fn print(
    args: &Args,
    statement: &Statement,
    principal: impl Fn() -> Result<PrincipalId, Failure>,
) -> Result<(), Failure> {
    if !args.message {
        terminal::say(&statement.text());
        return Ok(());
    }
    let principal = principal()?;
    let subject = report::subject_line(statement);
    let message = signature::statement_message(statement, &subject, Some(&principal), None, None, &[])
        .map_err(|refusal| Failure::refused(args.action.word(), refusal))?;
    terminal::say(&message);
    Ok(())
}

/// Who will sign, where nobody can check that there is such a principal.
fn named(args: &Args) -> Result<PrincipalId, Failure> {
    let name = args.principal.as_deref().and_then(PrincipalId::parse);
    name.ok_or_else(|| Failure::Usage("--message needs --principal NAME here".to_owned()))
}

fn fingerprint(text: &str) -> Result<Fingerprint, Failure> {
    Fingerprint::parse(text).ok_or_else(|| {
        let refusal = Refusal::new(Reason::UnknownKey, "a fingerprint is `SHA256:…` or `minisign:…`");
        Failure::refused(text, refusal.hint("see which keys there are with: git two-key key list"))
    })
}

/// Who will sign: as named, else the owner of the key that Git signs with.
fn principal(args: &Args, session: &Session) -> Result<PrincipalId, Failure> {
    if let Some(name) = &args.principal {
        let known = PrincipalId::parse(name).filter(|id| session.state.policy().get().principals.contains_key(id));
        return known.ok_or_else(|| {
            let message = format!("the policy in force knows no principal {name}");
            let refusal = Refusal::new(Reason::WrongPrincipal, message);
            Failure::refused(name.as_str(), refusal.hint("see who there is with: git two-key key list"))
        });
    }
    session.signer().map_err(|failure| match failure {
        Failure::Undecided(refusal) if refusal.reason == Reason::NoKey => Failure::Undecided(
            refusal.hint("name the principal with --principal NAME, or set your key: git config two-key.key FILE"),
        ),
        other => other,
    })
}
