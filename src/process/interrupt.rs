//! Interrupts (Ctrl-C) while a program talks to people: the program ends, and we clean up before we do.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, Ordering},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};

/// What is known of interrupts, once they are heeded.
#[derive(Debug, Default)]
struct Interrupts {
    /// Whether one came.
    came: Arc<AtomicBool>,
    /// Whether one ends us at once.
    ends: Arc<AtomicBool>,
}

static INTERRUPTS: OnceLock<Interrupts> = OnceLock::new();

/// Has an interrupt end a program that talks to people before it ends us: what was made for that program is removed first.
/// For whoever has no other use for interrupts.
pub fn heed_interrupts() {
    INTERRUPTS.get_or_init(|| {
        let interrupts = Interrupts::default();
        interrupts.ends.store(true, Ordering::SeqCst);
        for signal in [SIGINT, SIGTERM] {
            // Where it cannot be caught it ends us at once, as it always did.
            let _ = flag::register_conditional_default(signal, Arc::clone(&interrupts.ends));
            let _ = flag::register(signal, Arc::clone(&interrupts.came));
        }
        interrupts
    });
}

/// While it is there, an interrupt does not end us.
#[derive(Debug)]
pub(super) struct Held(());

impl Held {
    pub(super) fn new() -> Self {
        ends(false);
        Self(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        ends(true);
    }
}

/// Whether an interrupt came.
pub(super) fn came() -> bool {
    INTERRUPTS.get().is_some_and(|interrupts| interrupts.came.load(Ordering::SeqCst))
}

fn ends(ends: bool) {
    if let Some(interrupts) = INTERRUPTS.get() {
        interrupts.ends.store(ends, Ordering::SeqCst);
    }
}
