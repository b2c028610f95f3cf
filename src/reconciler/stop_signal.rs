//! Stop signal: whoever works on a target is told that a stop waits for it, and waits for nothing any more.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{RecvTimeoutError, sync_channel},
    },
    thread,
    time::Duration,
};

use crate::model::{Reason, Refusal, TargetId};

/// How often whoever waits looks whether a stop waits.
const NAP: Duration = Duration::from_millis(10);

/// Says to whoever works on a target that a stop waits for it to be given back.
#[derive(Debug, Clone, Default)]
pub(super) struct StopSignal(Arc<AtomicBool>);

impl StopSignal {
    /// A stop waits.
    pub(super) fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Asks metrics for something, and does not wait for them any more once a stop waits.
    pub(super) fn ask<T: Send + 'static>(
        &self,
        target: &TargetId,
        ask: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refusal> {
        let inside = || Refusal::new(Reason::Internal, format!("metrics could not be asked about target {target}"));
        let (answer, answers) = sync_channel(1);
        let asked = thread::Builder::new().name("metrics".to_owned()).spawn(move || drop(answer.send(ask())));
        asked.map_err(|_| inside())?;
        loop {
            match answers.recv_timeout(NAP) {
                Ok(answer) => return Ok(answer),
                Err(RecvTimeoutError::Disconnected) => return Err(inside()),
                Err(RecvTimeoutError::Timeout) if self.0.load(Ordering::Relaxed) => {
                    let message = format!("target {target} is to be stopped, and metrics were still asked");
                    return Err(Refusal::new(Reason::NoData, message));
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::channel;

    use super::*;

    #[test]
    fn what_is_asked_is_waited_for_until_a_stop_waits() {
        let target = TargetId::parse("shop").unwrap();
        let stop_signal = StopSignal::default();
        assert_eq!(stop_signal.ask(&target, || 7), Ok(7));
        let (answer, wait) = channel::<u8>();
        let clone = stop_signal.clone();
        let asking = thread::spawn(move || clone.ask(&TargetId::parse("shop").unwrap(), move || wait.recv()).map(drop));
        stop_signal.raise();
        assert_eq!(asking.join().unwrap().unwrap_err().reason, Reason::NoData);
        drop(answer);
    }
}
