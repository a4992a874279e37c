//! A TCP balancer as clusters have one before a Service: connections in turn to what is ready, and nothing repeated.
//!
//! It looks at `/readyz` ten times a second. A replica that says it is not ready gets no new connections and keeps those it
//! has, as Endpoints do it; one that does not answer three times is taken for dead, and its connections are cut.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;

/// Between two looks at a replica.
pub const CHECK: Duration = Duration::from_millis(100);

/// How long a look may take. Two cores are shared by all that runs here, so it is long and must fail thrice.
const PATIENCE: Duration = Duration::from_secs(1);
const DEAD_AFTER: u32 = 3;

/// A replica as the balancer sees it.
struct Backend {
    name: String,
    webhook: String,
    admin: String,
    ready: bool,
    failed: u32,
    cut: CancellationToken,
}

/// All clones are one.
#[derive(Clone)]
pub struct Balancer {
    pub address: SocketAddr,
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    backends: Mutex<Vec<Backend>>,
    next: AtomicUsize,
    /// By the caller's port, which replica has its connection.
    routes: Mutex<HashMap<u16, String>>,
}

impl Balancer {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let balancer = Self { address: listener.local_addr().unwrap(), inner: Arc::default() };
        let accepting = balancer.clone();
        tokio::spawn(async move {
            loop {
                let (stream, peer) = listener.accept().await.unwrap();
                let balancer = accepting.clone();
                tokio::spawn(async move { balancer.carry(stream, peer.port()).await });
            }
        });
        balancer
    }

    /// Takes a replica in, and looks after it until it is taken out.
    pub fn add(&self, name: &str, webhook: &str, admin: &str) {
        let (webhook, admin) = (webhook.to_owned(), admin.to_owned());
        let cut = CancellationToken::new();
        let backend =
            Backend { name: name.to_owned(), webhook, admin, ready: true, failed: 0, cut: cut.clone() };
        self.backends().push(backend);
        let (balancer, name) = (self.clone(), name.to_owned());
        tokio::spawn(async move {
            let mut tick = interval(CHECK);
            loop {
                tick.tick().await;
                let Some(admin) = balancer.find(&name, |backend| backend.admin.clone()) else { return };
                let said = timeout(PATIENCE, readiness(&admin)).await.ok().flatten();
                balancer.find(&name, |backend| backend.looked(said));
            }
        });
    }

    /// Takes a replica out; its connections end by themselves.
    pub fn remove(&self, name: &str) {
        self.backends().retain(|backend| backend.name != name);
    }

    /// Name, webhook and probes of each replica.
    pub fn ways(&self) -> Vec<[String; 3]> {
        let backends = self.backends();
        let ways = backends.iter().map(|it| [it.name.clone(), it.webhook.clone(), it.admin.clone()]);
        ways.collect()
    }

    /// Whether a replica gets connections.
    pub fn is_ready(&self, name: &str) -> bool {
        self.find(name, |backend| backend.ready).unwrap_or(false)
    }

    /// Which replica has the connection of this port of a caller.
    pub fn replica_of(&self, port: u16) -> String {
        self.inner.routes.lock().unwrap().get(&port).cloned().unwrap_or_default()
    }

    fn backends(&self) -> MutexGuard<'_, Vec<Backend>> {
        self.inner.backends.lock().unwrap()
    }

    fn find<T>(&self, name: &str, what: impl FnOnce(&mut Backend) -> T) -> Option<T> {
        self.backends().iter_mut().find(|backend| backend.name == name).map(what)
    }

    /// Those that are ready, each once, beginning with the one whose turn it is.
    fn turn(&self) -> Vec<(String, String, CancellationToken)> {
        let backends = self.backends();
        let ready: Vec<&Backend> = backends.iter().filter(|backend| backend.ready).collect();
        let start = self.inner.next.fetch_add(1, Ordering::Relaxed);
        (0..ready.len())
            .map(|n| ready[(start + n) % ready.len()])
            .map(|backend| (backend.name.clone(), backend.webhook.clone(), backend.cut.clone()))
            .collect()
    }

    async fn carry(&self, mut caller: TcpStream, port: u16) {
        for (name, webhook, cut) in self.turn() {
            // A connection that is refused was never one: the next gets it.
            let Ok(Ok(mut replica)) = timeout(PATIENCE, TcpStream::connect(&webhook)).await else { continue };
            self.inner.routes.lock().unwrap().insert(port, name);
            let _ = (caller.set_nodelay(true), replica.set_nodelay(true));
            tokio::select! {
                _ = copy_bidirectional(&mut caller, &mut replica) => {}
                () = cut.cancelled() => {}
            }
            return;
        }
    }
}

impl Backend {
    /// Takes note of what `/readyz` said, if anything.
    fn looked(&mut self, said: Option<bool>) {
        self.failed = if said.is_some() { 0 } else { self.failed + 1 };
        match said {
            Some(ready) => self.ready = ready,
            None if self.failed == DEAD_AFTER => {
                self.ready = false;
                std::mem::take(&mut self.cut).cancel();
            }
            None => {}
        }
    }
}

/// Whether `/readyz` says 200; none where nothing is said.
async fn readiness(admin: &str) -> Option<bool> {
    let mut stream = TcpStream::connect(admin).await.ok()?;
    let request = format!("GET /readyz HTTP/1.1\r\nhost: {admin}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.ok()?;
    let mut head = [0; 12];
    stream.read_exact(&mut head).await.ok()?;
    Some(head.ends_with(b"200"))
}
