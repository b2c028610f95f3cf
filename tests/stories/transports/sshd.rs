//! An OpenSSH server of its own: its host key, its port, its list of keys, and for each key the one command that it runs.

use std::{fmt::Write as _, fs, path::Path};

use super::{Way, served::Served};
use crate::kit::World;
use crate::kit::web::free_port;

/// The server.
pub(super) struct Sshd {
    port: u16,
    user: String,
    _served: Served,
}

/// Serves principals' keys, each with the command that it is bound to; the way of the first.
pub(super) fn serve(world: &World, keys: &[(&str, &str)], path: &str) -> (Sshd, Way) {
    let folder = world.path().join("sshd");
    fs::create_dir(&folder).unwrap();
    let search = std::env::var("PATH").unwrap();
    let env = format!("env PATH='{search}' GIT_CONFIG_NOSYSTEM=1 GIT_CONFIG_GLOBAL=/dev/null LC_ALL=C.UTF-8");
    let lines = keys.iter().fold(String::new(), |mut lines, (name, command)| {
        writeln!(lines, "restrict,command=\"{env} {command}\" {}", world.public_key(name)).unwrap();
        lines
    });
    fs::write(folder.join("keys"), lines).unwrap();
    let port = free_port();
    let config = format!(
        "Port {port}\nListenAddress 127.0.0.1\nHostKey {}\nAuthorizedKeysFile {}\nPidFile none\nUsePAM no\nStrictModes no\n\
         PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n",
        world.key_file("host").display(),
        folder.join("keys").display()
    );
    fs::write(folder.join("config"), config).unwrap();
    // As root it wants this folder, which services make when they start it.
    let _ = fs::create_dir_all("/run/sshd");
    let config = folder.join("config");
    // It runs itself again for each connection, so its name has to be its whole path.
    let program = ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].into_iter().find(|path| Path::new(path).exists());
    let mut command = world.command(world.path(), program.unwrap_or("sshd"));
    command.args(["-D", "-e", "-f", config.to_str().unwrap()]);
    let served = Served::start(&mut command, port);
    let user = world.run(world.path(), "id", &["-un"], b"").exits(0).out.trim().to_owned();
    let sshd = Sshd { port, user, _served: served };
    let way = sshd.way(world, keys[0].0, path);
    (sshd, way)
}

impl Sshd {
    /// A principal's way to a repository here.
    pub(super) fn way(&self, world: &World, name: &str, path: &str) -> Way {
        let key = world.key_file(name);
        let ssh = format!(
            "ssh -F none -i '{}' -o IdentitiesOnly=yes -o BatchMode=yes -o StrictHostKeyChecking=no \
             -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR",
            key.display()
        );
        let url = format!("ssh://{}@127.0.0.1:{}{path}", self.user, self.port);
        Way { url, env: vec![("GIT_SSH_COMMAND".to_owned(), ssh)] }
    }
}
