//! A PostgreSQL server of this test run's own, from the installed server programs. Tests never skip: where there is no
//! server it is installed, and where that cannot be, the run fails and says so.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use super::{ended, wait};

/// One server for all tests, ended by a process of its own once this one is gone, however it went.
static CLUSTER: OnceLock<Cluster> = OnceLock::new();

/// Names of databases are counted.
static DATABASES: AtomicU32 = AtomicU32::new(0);

struct Cluster {
    port: u16,
    bin: PathBuf,
    dir: PathBuf,
    server: Mutex<Child>,
}

/// A server of one test's own, which may be frozen and stopped.
pub struct Own(Cluster);

/// A database of one test's own on the shared server.
pub struct Scratch {
    /// What the ledger is opened with; the login is a superuser.
    pub url: String,
    /// Its name on the server.
    pub name: String,
}

impl Scratch {
    pub fn new() -> Self {
        let number = DATABASES.fetch_add(1, Ordering::Relaxed);
        let name = format!("t{}_{number}", std::process::id());
        sql("postgres", &format!("CREATE DATABASE {name}"));
        Self { url: url("postgres", &name), name }
    }

    /// The same database for another login, which must exist.
    pub fn as_login(&self, login: &str) -> String {
        url(login, &self.name)
    }

    /// Throws everybody out of the database and lets nobody in; or lets them in again.
    pub fn lock(&self, shut: bool) {
        let name = &self.name;
        sql("postgres", &format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {}", !shut));
        if shut {
            let all =
                format!("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{name}'");
            sql("postgres", &all);
        }
    }

    /// Runs statements as the superuser; what they print, unaligned, without headers.
    pub fn sql(&self, statements: &str) -> String {
        sql(&self.name, statements)
    }

    /// Runs statements as the superuser; what went wrong, if something did.
    pub fn try_sql(&self, statements: &str) -> Result<String, String> {
        try_sql(&self.name, statements)
    }
}

impl Own {
    pub fn start() -> Self {
        Self(Cluster::start())
    }

    /// What a ledger in it is opened with.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.0.port)
    }

    /// Shuts the server down as its init script does: whoever is connected is thrown out.
    pub fn stop(&self) {
        let mut server = self.0.server.lock().unwrap();
        let done = Command::new("kill").args(["-s", "INT", &server.id().to_string()]).status().unwrap();
        assert!(done.success());
        wait(Duration::from_mins(1), || server.try_wait().unwrap());
    }

    /// Starts it where it was, and waits until it answers.
    pub fn start_again(&self) {
        *self.0.server.lock().unwrap() = self.0.serve(&Owner::choose());
    }

    /// Sends the server, and all that serves its connections, a signal: 19 freezes, 18 thaws.
    pub fn signal(&self, signal: i32) {
        let server = self.0.server.lock().unwrap().id().to_string();
        let children = Command::new("pgrep").args(["-P", &server]).output().unwrap();
        let children = String::from_utf8(children.stdout).unwrap();
        for pid in children.split_whitespace().chain([server.as_str()]) {
            let _ = Command::new("kill").args(["-s", &signal.to_string(), pid]).status().unwrap();
        }
    }

    /// Runs statements as the superuser.
    pub fn sql(&self, statements: &str) -> String {
        sql_on(&self.0, "postgres", statements).unwrap_or_else(|error| panic!("{statements}: {error}"))
    }
}

fn url(login: &str, database: &str) -> String {
    let port = CLUSTER.get_or_init(Cluster::start).port;
    format!("postgres://{login}@127.0.0.1:{port}/{database}")
}

fn sql(database: &str, statements: &str) -> String {
    try_sql(database, statements).unwrap_or_else(|error| panic!("{statements}: {error}"))
}

fn try_sql(database: &str, statements: &str) -> Result<String, String> {
    sql_on(CLUSTER.get_or_init(Cluster::start), database, statements)
}

fn sql_on(cluster: &Cluster, database: &str, statements: &str) -> Result<String, String> {
    let output = Command::new(cluster.bin.join("psql"))
        .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-U", "postgres", "-d", database])
        .args(["-h".as_ref(), cluster.dir.join("run").as_os_str()])
        .args(["-p", &cluster.port.to_string(), "-c", statements])
        .output()
        .unwrap();
    if output.status.success() {
        Ok(String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

impl Cluster {
    fn start() -> Self {
        let bin = programs().unwrap_or_else(install);
        let dir = tempfile::Builder::new().prefix("portcullis-pg").tempdir().unwrap().keep();
        std::fs::create_dir(dir.join("run")).unwrap();
        let own = Owner::choose();
        own.give(&dir);
        let mut make = own.command(&bin.join("initdb"));
        make.arg("-D").arg(dir.join("data"));
        make.args(["-U", "postgres", "--auth=trust", "--no-locale", "-E", "UTF8", "--no-sync"]);
        let output = make.output().unwrap();
        assert!(output.status.success(), "{make:?}: {}", String::from_utf8_lossy(&output.stderr));
        let port = free_port();
        // Replaced below by the server itself.
        let nothing = Command::new("true").spawn().unwrap();
        let cluster = Self { port, bin, dir, server: Mutex::new(nothing) };
        let server = cluster.serve(&own);
        drop(std::mem::replace(&mut *cluster.server.lock().unwrap(), server).wait());
        cluster
    }

    /// Starts the server, and waits until it answers.
    fn serve(&self, own: &Owner) -> Child {
        let settings = [
            format!("port={}", self.port),
            format!("unix_socket_directories={}", self.dir.join("run").display()),
            "listen_addresses=127.0.0.1".to_owned(),
            "fsync=on".to_owned(),
            "shared_buffers=32MB".to_owned(),
            "max_connections=300".to_owned(),
            "max_wal_size=256MB".to_owned(),
            "autovacuum=off".to_owned(),
        ];
        let mut server = own.command(&self.bin.join("postgres"));
        server.arg("-D").arg(self.dir.join("data"));
        settings.iter().for_each(|setting| {
            server.args(["-c", setting]);
        });
        let log = std::fs::File::create(self.dir.join("log")).unwrap();
        let mut child =
            server.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        ended::with_us(&[child.id()], &self.dir);
        wait(Duration::from_mins(1), || {
            assert!(
                child.try_wait().unwrap().is_none(),
                "{}",
                std::fs::read_to_string(self.dir.join("log")).unwrap()
            );
            let ready = Command::new(self.bin.join("pg_isready"))
                .args(["-q", "-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", "postgres"])
                .status()
                .unwrap();
            ready.success().then_some(())
        });
        child
    }
}

/// PostgreSQL does not run as root.
struct Owner(Option<(&'static str, u32, u32)>);

impl Owner {
    fn choose() -> Self {
        if id(&["-u"]) != 0 {
            return Self(None);
        }
        let known = |name: &'static str| {
            let found = Command::new("id").args(["-u", name]).stderr(Stdio::null()).output().unwrap();
            found.status.success().then(|| (name, id(&["-u", name]), id(&["-g", name])))
        };
        Self(Some(known("postgres").or_else(|| known("nobody")).expect("somebody who is not root")))
    }

    fn give(&self, dir: &Path) {
        let Some((_, user, group)) = self.0 else { return };
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o755)).unwrap();
        for path in [dir.to_path_buf(), dir.join("run")] {
            std::os::unix::fs::chown(path, Some(user), Some(group)).unwrap();
        }
    }

    fn command(&self, program: &Path) -> Command {
        let mut command = match self.0 {
            None => return Command::new(program),
            Some((_, user, group)) => {
                let mut command = Command::new("setpriv");
                command.arg(format!("--reuid={user}")).arg(format!("--regid={group}")).arg("--clear-groups");
                command
            }
        };
        command.arg(program).current_dir("/");
        command
    }
}

fn id(words: &[&str]) -> u32 {
    let output = Command::new("id").args(words).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

/// The directory of the server's programs: of the newest version installed, else what the path leads to.
fn programs() -> Option<PathBuf> {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, bin)| bin.join("initdb").exists())
        .collect();
    versions.sort();
    let on_path = || {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|dir| dir.join("initdb").exists() && dir.join("postgres").exists())
    };
    versions.pop().map(|(_, bin)| bin).or_else(on_path)
}

fn install() -> PathBuf {
    assert!(std::env::var_os("CI").is_none(), "no PostgreSQL server is installed; CI has to bring one");
    let apt = |words: &[&str]| {
        Command::new("apt-get")
            .args(words)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
            .is_ok_and(|s| s.success())
    };
    let _ = apt(&["update", "-q"]);
    let _ = apt(&["install", "-q", "-y", "postgresql-15"]) || apt(&["install", "-q", "-y", "postgresql"]);
    programs().expect("a PostgreSQL server: install the package `postgresql`")
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
