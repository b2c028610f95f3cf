//! Interrupts (Ctrl-C) while a program talks to people: the program ends, and we clean up before we do.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag, low_level,
};

/// What is known of interrupts, once they are heeded.
#[derive(Debug, Default)]
struct Interrupts {
    /// The signal that came; 0 for none.
    came: Arc<AtomicUsize>,
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
            let number = usize::try_from(signal).unwrap_or_default();
            let _ = flag::register_usize(signal, Arc::clone(&interrupts.came), number);
        }
        interrupts
    });
}

/// While it is there, an interrupt does not end us.
#[derive(Debug)]
pub struct HeldInterrupts(());

/// How many there are.
static HELD: AtomicUsize = AtomicUsize::new(0);

/// Where interrupts are heeded, has one wait until something that must not stay half done has been taken away.
pub fn hold_interrupts() -> HeldInterrupts {
    HELD.fetch_add(1, Ordering::SeqCst);
    ends(false);
    HeldInterrupts(())
}

impl Drop for HeldInterrupts {
    fn drop(&mut self) {
        if HELD.fetch_sub(1, Ordering::SeqCst) == 1 {
            ends(true);
        }
    }
}

/// Whether an interrupt came. The program ends by it when the verb does.
pub fn came() -> bool {
    signal() != 0
}

/// Ends us as an interrupt does that came while a program talked to people: a shell is to know it.
pub fn end_if_interrupted() {
    if let Ok(signal @ 1..) = i32::try_from(signal()) {
        let _ = low_level::emulate_default_handler(signal);
    }
}

fn signal() -> usize {
    INTERRUPTS.get().map_or(0, |interrupts| interrupts.came.load(Ordering::SeqCst))
}

fn ends(ends: bool) {
    if let Some(interrupts) = INTERRUPTS.get() {
        interrupts.ends.store(ends, Ordering::SeqCst);
    }
}
