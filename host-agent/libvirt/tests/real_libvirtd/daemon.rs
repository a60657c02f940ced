//! A libvirtd of a test's own: in its own mount and network namespaces, on its own directories and socket.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{interval, timeout};

/// How long anything may take on a busy machine.
pub(crate) const LONG: Duration = Duration::from_secs(60);

const LIBVIRTD: &str = "/usr/sbin/libvirtd";

/// Directories that libvirtd writes to; in its mount namespace, each is the test's own.
const DIRECTORIES: [&str; 5] = ["/run", "/etc/libvirt", "/var/lib/libvirt", "/var/cache/libvirt", "/var/log/libvirt"];

/// A private libvirtd. Dropping it ends the daemon and the guests that it started.
pub(crate) struct Daemon {
    child: Child,
    directory: TempDir,
}

impl Daemon {
    /// Starts one; `None`, with the reason printed, where this machine cannot.
    pub(crate) async fn start() -> Option<Self> {
        if let Some(reason) = hindrance() {
            eprintln!("skipped: {reason}");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        prepare(directory.path());
        let child = spawn(directory.path());
        let mut daemon = Self { child, directory };
        daemon.wait_until_it_listens().await;
        Some(daemon)
    }

    pub(crate) fn uri(&self) -> String {
        format!("qemu+unix:///system?socket={}", self.socket().display())
    }

    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after [`Daemon::kill`], on the same directories.
    pub(crate) async fn restart(&mut self) {
        self.child = spawn(self.directory.path());
        self.wait_until_it_listens().await;
    }

    pub(crate) fn signal(&self, signal: &str) {
        assert!(send(signal, self.child.id()), "libvirtd takes signal {signal}");
    }

    /// Runs `ip` in the daemon's network namespace; tells whether it succeeded.
    pub(crate) fn ip(&self, arguments: &str) -> bool {
        let pid = self.child.id().to_string();
        let mut command = Command::new("nsenter");
        command.args(["-t", &pid, "-n", "ip"]).args(arguments.split(' ')).stdout(Stdio::null()).stderr(Stdio::null());
        command.status().unwrap().success()
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("sock/libvirt-sock")
    }

    async fn wait_until_it_listens(&mut self) {
        let socket = self.socket();
        let mut pause = interval(Duration::from_millis(20));
        let listens = async {
            while UnixStream::connect(&socket).is_err() {
                if let Some(status) = self.child.try_wait().unwrap() {
                    return Err(status);
                }
                pause.tick().await;
            }
            Ok(())
        };
        let outcome = timeout(LONG, listens).await;
        let log = fs::read_to_string(self.directory.path().join("log")).unwrap_or_default();
        assert!(matches!(outcome, Ok(Ok(()))), "libvirtd does not listen: {outcome:?}\n{log}");
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let Ok(files) = fs::read_dir(self.directory.path().join("run/libvirt/qemu")) else { return };
        for file in files.flatten().filter(|file| file.path().extension().is_some_and(|end| end == "pid")) {
            let Some(pid) = fs::read_to_string(file.path()).ok().and_then(|text| text.trim().parse().ok()) else {
                continue;
            };
            // The daemon's own file lies there too, and its process is gone.
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            if name.starts_with("qemu-system") {
                send("KILL", pid);
            }
        }
    }
}

fn hindrance() -> Option<String> {
    if !Path::new(LIBVIRTD).exists() {
        return Some(format!("{LIBVIRTD} is not installed"));
    }
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return Some("a private libvirtd needs root".to_owned());
    }
    let unshare = Command::new("unshare").args(["-m", "-n", "true"]).stderr(Stdio::null()).status();
    if !unshare.is_ok_and(|status| status.success()) {
        return Some("no mount and network namespaces can be made".to_owned());
    }
    None
}

fn prepare(directory: &Path) {
    fs::create_dir(directory.join("sock")).unwrap();
    for shadow in DIRECTORIES {
        fs::create_dir_all(shadowed(directory, shadow)).unwrap();
    }
    let shown = directory.display();
    let daemon = format!(
        "unix_sock_dir = \"{shown}/sock\"\nauth_unix_rw = \"none\"\nauth_unix_ro = \"none\"\n\
         log_outputs = \"3:file:{shown}/log\"\n"
    );
    fs::write(directory.join("libvirtd.conf"), daemon).unwrap();
    // The guest's standard output would go to virtlogd, which is not started here.
    let guests = "user = \"root\"\ngroup = \"root\"\nsecurity_driver = \"none\"\nstdio_handler = \"file\"\n\
                  cgroup_controllers = []\nnamespaces = []\nremember_owner = 0\n";
    fs::write(shadowed(directory, "/etc/libvirt").join("qemu.conf"), guests).unwrap();
}

/// The directory that stands in for `path`.
fn shadowed(directory: &Path, path: &str) -> PathBuf {
    directory.join(path.trim_start_matches('/'))
}

/// The daemon dies with the test's thread, and is the very process that is returned: each command becomes the next.
fn spawn(directory: &Path) -> Child {
    let mounts: String = DIRECTORIES
        .map(|path| format!("mkdir -p {path}; mount --bind {} {path}; ", shadowed(directory, path).display()))
        .concat();
    let script = format!("{mounts} exec {LIBVIRTD} -f {}/libvirtd.conf", directory.display());
    Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "unshare", "-m", "-n", "sh", "-ec", &script])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn send(signal: &str, pid: u32) -> bool {
    Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status().is_ok_and(|status| status.success())
}
