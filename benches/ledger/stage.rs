//! A ledger on one of the databases, the API that serves it, and gates.

use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

use super::http::Http;
use super::scratch::postgres::Scratch;
use crate::serve::server::Server;

/// Far above what a bench can send.
const NO_LIMIT: &str = "1000000";

/// A ledger and its API.
pub struct Stage {
    /// `SQLite` or `PostgreSQL`.
    pub name: &'static str,
    /// What the ledger is opened with.
    pub url: String,
    /// Its API, once there is one.
    pub api: Option<Server>,
    dir: TempDir,
    _scratch: Option<Scratch>,
}

impl Stage {
    /// On a file.
    pub fn sqlite() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let url = format!("sqlite://{}", dir.path().join("ledger.db").display());
        Self { name: "SQLite", url, api: None, dir, _scratch: None }
    }

    /// On a server of this run's own.
    pub fn postgres() -> Self {
        let scratch = Scratch::new();
        let url = scratch.url.clone();
        Self {
            name: "PostgreSQL",
            url,
            api: None,
            dir: tempfile::tempdir().unwrap(),
            _scratch: Some(scratch),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A token that the API believes.
    fn token(&self, role: &str) -> String {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis"));
        command.args(["token", "new", "--subject", role, "--role", role, "--keys"]).arg(self.path("keys"));
        if role == "service" {
            command.arg("--all-clusters");
        }
        let printed = command.output().unwrap();
        assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
        String::from_utf8(printed.stdout).unwrap().trim().to_owned()
    }

    /// Starts the API.
    pub async fn serve(&mut self) {
        let keys = self.path("keys").display().to_string();
        let words = [
            "--role",
            "api",
            "--database",
            &self.url,
            "--api",
            "127.0.0.1:0",
            "--token-keys",
            &keys,
            "--api-rate",
            NO_LIMIT,
            "--api-burst",
            NO_LIMIT,
        ];
        self.api = Some(Server::of_role(&words).await);
    }

    /// A gate that asks the API.
    pub async fn by_api(&self) -> Server {
        let file = self.path("token");
        std::fs::write(&file, self.token("service")).unwrap();
        let url = format!("http://{}", self.api());
        Server::of_role(&["--role", "gate", "--ledger", &url, "--ledger-token", &file.display().to_string()])
            .await
    }

    /// A gate that asks the database.
    pub async fn by_database(&self) -> Server {
        Server::of_role(&["--role", "gate", "--database", &self.url]).await
    }

    fn api(&self) -> &str {
        &self.api.as_ref().unwrap().api
    }

    /// Connections to the API, as an administrator.
    pub async fn connections(&self, count: usize) -> Vec<Http> {
        let token = self.token("admin");
        let mut all = Vec::new();
        for _ in 0..count {
            all.push(Http::open(self.api(), &token).await);
        }
        all
    }
}
