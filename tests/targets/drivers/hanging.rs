//! Everything that can hang, hangs: metrics, a push, another target, readers of `/metrics`. A person's stop reaches the requests that
//! a real `haproxy` sends on all the same, counted by who answered.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    os::unix::fs::PermissionsExt as _,
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
};

use super::{
    broken::is_served,
    haproxy::{Edge, Odds},
    rig::FIRST,
};
use crate::{
    kit,
    kit::web::{free_port, until},
};

/// The lease of the target that hangs.
const SLOW: &str = "LEASE-20251027-021914";

/// An applier that is running, and what makes its surroundings hang.
struct Applier(Child);

impl Drop for Applier {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A Prometheus that knows no series, until it takes questions and never answers.
pub(crate) struct Mute {
    pub(crate) address: SocketAddr,
    pub(crate) silent: Arc<AtomicBool>,
    pub(crate) asked: Arc<AtomicU32>,
}

impl Mute {
    pub(crate) fn begin() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (silent, asked) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
        let mute =
            Self { address: listener.local_addr().unwrap(), silent: Arc::clone(&silent), asked: Arc::clone(&asked) };
        std::thread::spawn(move || {
            let body = r#"{"status":"success","data":{"resultType":"vector","result":[]}}"#;
            let mut kept = Vec::new();
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                if silent.load(Ordering::Relaxed) {
                    asked.fetch_add(1, Ordering::Relaxed);
                    kept.push(stream);
                    continue;
                }
                let _ = stream.read(&mut [0; 8192]);
                let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n";
                let _ = write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len());
            }
        });
        mute
    }
}

/// Six gates that ask it, beside another target.
fn gates() -> String {
    let one = |name: &str| {
        format!(
            "  {name}:\n    source: prometheus\n    kind: count-ratio\n    candidate: {{bad: 'e', total: 'r'}}\n    settle: 1s\n    \
             interval: 1s\n    min: {{total: 20, slots: 1}}\n    absolute: {{max: 0.05}}\n    inconclusive-deadline: 1h\n"
        )
    };
    let all: String = ["error-rate", "g2", "g3", "g4", "g5", "g6"].map(one).concat();
    format!("  slow-prod: {{driver: exec, applier: edge1}}\ngates:\n{all}")
}

#[test]
fn metrics_a_push_another_target_and_readers_hang() {
    let edge = Edge::odd("roundrobin", 1, &Odds { gates: &gates(), ..Odds::default() });
    let (mute, readers) = (Mute::begin(), SocketAddr::from(([127, 0, 0, 1], free_port())));
    // Whatever hangs does so while this file is there.
    let (hang, asked, program) = (edge.rig.path("hang"), edge.rig.path("asked"), edge.rig.path("slow"));
    let executable = |path: &std::path::Path, text: &str| {
        fs::write(path, text).unwrap();
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    };
    let here = hang.display();
    executable(
        &program,
        &format!("#!/bin/sh\necho asked >>{}\nwhile [ -e {here} ]; do /bin/sleep 0.1; done\n", asked.display()),
    );
    let pushes = "while read old new ref; do case $ref in refs/two-key/*)";
    executable(
        &edge.rig.path("server.git/hooks/pre-receive"),
        &format!("#!/bin/sh\n{pushes} while [ -e {here} ]; do /bin/sleep 0.1; done;; esac; done\n"),
    );
    let text = fs::read_to_string(edge.rig.path("applier.yaml")).unwrap();
    let more = format!(
        "interval: 1s\nmetrics-listen: {readers}\nmetrics: {{prometheus: {{url: \"http://{}\", timeout: 10m}}}}\ntargets:\n  \
         slow-prod: {{exec: {{program: {}, timeout: 10m}}}}",
        mute.address,
        program.display()
    );
    fs::write(edge.rig.path("applier.yaml"), text.replace("targets:", &more)).unwrap();
    edge.rig.propose(SLOW, |text| {
        let text = text.replace("target: checkout-prod", "target: slow-prod").replace("INT-2025-0042", "INT-2025-0043");
        text + &format!("scope: {{commands: [\"{}\"]}}\n", program.display())
    });
    edge.rig.start_with(FIRST, |text| text.replace("bake: 0s", "bake: 1h"));
    let mut command = edge.rig.world.command(edge.rig.world.path(), env!("CARGO_BIN_EXE_git-two-key"));
    command.args(["apply", "--watch", "--config", "applier.yaml"]).stdout(Stdio::null()).stderr(Stdio::null());
    let applier = Applier(command.spawn().unwrap());
    until("the first tier", || edge.weights() == [19, 1]);
    is_served(&edge, 5);
    mute.silent.store(true, Ordering::Relaxed);
    fs::write(&hang, "").unwrap();
    for (name, action) in [("user1", "cosign"), ("cp14", "cosign"), ("cp14", "start")] {
        edge.rig.turn(name, action, SLOW);
    }
    until("a question that is not answered", || mute.asked.load(Ordering::Relaxed) > 0);
    until("another target that does not answer", || asked.exists());
    let slow: Vec<TcpStream> = (0..4).map(|_| TcpStream::connect(readers).unwrap()).collect();
    edge.rig.turn("user2", "halt", FIRST);
    until("the halt", || edge.weights()[1] == 0);
    is_served(&edge, 0);
    // What comes of that is told all the same: at once to whoever asks, and in the ledger once it can be.
    let page = page_of(readers);
    assert!(page.contains("two_key_desired_weight") && page.contains(kit::LEASE), "{page}");
    drop(slow);
    fs::remove_file(&hang).unwrap();
    until("the record", || edge.rig.record()["observed_bp"] == 0);
    drop(applier);
}

#[test]
fn a_key_that_never_answers_keeps_no_stop_waiting() {
    let edge = Edge::new();
    edge.rig.start(FIRST);
    edge.rig.apply().exits(0);
    is_served(&edge, 5);
    // Whatever is to be signed hangs while this file is there.
    let (hang, asked, program) = (edge.rig.path("hang"), edge.rig.path("asked"), edge.rig.path("sign"));
    let text = format!(
        "#!/bin/sh\nif [ -e {0} ]; then echo asked >>{1}; while [ -e {0} ]; do sleep 0.1; done; fi\nexec ssh-keygen \"$@\"\n",
        hang.display(),
        asked.display()
    );
    fs::write(&program, text).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    edge.rig.in_all(&["-C", "applier", "config", "gpg.ssh.program", program.to_str().unwrap()]);
    fs::write(&hang, "").unwrap();
    // The intention to go on is the first that is signed.
    edge.rig.promote(FIRST);
    let mut command = edge.rig.world.command(edge.rig.world.path(), env!("CARGO_BIN_EXE_git-two-key"));
    command.args(["apply", "--watch", "--config", "applier.yaml"]).stdout(Stdio::null()).stderr(Stdio::null());
    let applier = Applier(command.spawn().unwrap());
    until("something is signed", || asked.exists());
    edge.rig.turn("user2", "halt", FIRST);
    until("the halt", || edge.weights() == [1, 0]);
    assert!(hang.exists() && edge.rig.record()["observed_bp"] == 500, "nothing has been signed since");
    is_served(&edge, 0);
    // A key that answers again signs what was done.
    fs::remove_file(&hang).unwrap();
    until("the record", || edge.rig.record()["observed_bp"] == 0);
    drop(applier);
}

/// What `/metrics` says.
fn page_of(address: SocketAddr) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    page
}
