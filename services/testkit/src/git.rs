//! A git server for tests: repositories in a folder, served over HTTPS by the smart protocol with the machine's own `git`.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Stdio,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::{Request, State},
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::pki_types::PrivatePkcs8KeyDer;
use tempfile::TempDir;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpListener, TcpStream},
    process::Command,
    sync::watch,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tokio_util::task::AbortOnDropHandle;

/// The server. Ends when dropped.
pub struct GitServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    certificate: PathBuf,
    _serving: AbortOnDropHandle<()>,
}

struct Shared {
    folder: TempDir,
    /// Whether answers are held back.
    held: watch::Sender<bool>,
    requests: AtomicUsize,
    /// Whether repositories are known only with `.git` behind them.
    suffix: AtomicBool,
}

/// TLS connections of a listener.
struct Listener {
    tcp: TcpListener,
    tls: TlsAcceptor,
}

impl axum::serve::Listener for Listener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            if let Ok((stream, address)) = self.tcp.accept().await
                && let Ok(stream) = self.tls.accept(stream).await
            {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.tcp.local_addr()
    }
}

impl GitServer {
    /// Starts a server without repositories on a free port of this machine.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let names = ["127.0.0.1", "localhost"].map(str::to_owned).to_vec();
        let certified = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let pem = format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            STANDARD.encode(certified.cert.der())
        );
        let certificate = folder.path().join("certificate.pem");
        std::fs::write(&certificate, pem).expect("a file");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("protocols")
            .with_no_client_auth()
            .with_single_cert(
                vec![certified.cert.der().clone()],
                PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()).into(),
            )
            .expect("a server");
        let tcp = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = tcp.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            folder,
            held: watch::Sender::new(false),
            requests: AtomicUsize::new(0),
            suffix: AtomicBool::new(false),
        });
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let listener = Listener {
            tcp,
            tls: TlsAcceptor::from(Arc::new(tls)),
        };
        let serving = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Self {
            address,
            shared,
            certificate,
            _serving: AbortOnDropHandle::new(serving),
        }
    }

    /// `127.0.0.1:port`.
    pub fn authority(&self) -> String {
        self.address.to_string()
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The address of a repository.
    pub fn url(&self, repository: &str) -> String {
        format!("https://{}/{repository}", self.address)
    }

    /// The certificate to trust, as a PEM file.
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// Holds answers back, or lets them go.
    pub fn hold(&self, held: bool) {
        self.shared.held.send_replace(held);
    }

    /// Knows repositories only with `.git` behind them from now on, as some servers do.
    pub fn only_with_suffix(&self) {
        self.shared.suffix.store(true, Ordering::SeqCst);
    }

    /// Requests so far.
    pub fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    /// Makes a commit with these files on a branch of a repository, which is made when it is not there; the first branch is the default
    /// one.
    pub async fn commit(&self, repository: &str, branch: &str, files: &[(&str, &str)]) {
        let folder = self.shared.folder.path().join(repository);
        if !folder.exists() {
            std::fs::create_dir_all(&folder).expect("a folder");
            git(&folder, &["init", "--quiet", &format!("--initial-branch={branch}")]).await;
            git(&folder, &["config", "uploadpack.allowFilter", "true"]).await;
        } else if !git_says(&folder, &["rev-parse", "--verify", "--quiet", branch]).await {
            git(&folder, &["checkout", "--quiet", "--orphan", branch]).await;
            git(&folder, &["rm", "-rfq", "--ignore-unmatch", "."]).await;
        } else {
            git(&folder, &["checkout", "--quiet", branch]).await;
        }
        for (path, content) in files {
            let file = folder.join(path);
            std::fs::create_dir_all(file.parent().expect("a parent")).expect("a folder");
            std::fs::write(file, content).expect("a file");
        }
        git(&folder, &["add", "--all"]).await;
        let identity = ["-c", "user.name=test", "-c", "user.email=test@example.org"];
        let commit = [
            "commit",
            "--quiet",
            "--no-gpg-sign",
            "--allow-empty",
            "--message",
            "a change",
        ];
        git(&folder, &[&identity[..], &commit[..]].concat()).await;
        // Later branches must not become the default one.
        let first = git_text(&folder, &["config", "--default", "", "mc.default"]).await;
        if first.is_empty() {
            git(&folder, &["config", "mc.default", branch]).await;
        } else {
            git(&folder, &["checkout", "--quiet", &first]).await;
        }
    }

    /// Runs git in a repository.
    pub async fn git(&self, repository: &str, arguments: &[&str]) {
        git(&self.shared.folder.path().join(repository), arguments).await;
    }
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .current_dir(folder)
        .args(arguments)
        // The machine's own settings must not matter.
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .kill_on_drop(true);
    command
}

async fn git_says(folder: &Path, arguments: &[&str]) -> bool {
    command(folder, arguments)
        .stdout(Stdio::null())
        .status()
        .await
        .expect("git runs")
        .success()
}

async fn git(folder: &Path, arguments: &[&str]) {
    assert!(git_says(folder, arguments).await, "git {arguments:?}");
}

async fn git_text(folder: &Path, arguments: &[&str]) -> String {
    let output = command(folder, arguments).output().await.expect("git runs");
    String::from_utf8(output.stdout).expect("a text").trim().to_owned()
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    shared.requests.fetch_add(1, Ordering::SeqCst);
    let mut held = shared.held.subscribe();
    let _ = held.wait_for(|held| !held).await;
    let path = request.uri().path().trim_start_matches('/').to_owned();
    if let Some(rest) = path.strip_prefix("moved/") {
        let to = format!("/{rest}?{}", request.uri().query().unwrap_or_default());
        return (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, to)]).into_response();
    }
    let (repository, asked) = match path.strip_suffix("/info/refs") {
        Some(repository) => (repository, true),
        None => (path.strip_suffix("/git-upload-pack").unwrap_or_default(), false),
    };
    let plain = repository.strip_suffix(".git");
    if plain.is_none() && shared.suffix.load(Ordering::SeqCst) {
        return StatusCode::NOT_FOUND.into_response();
    }
    let folder = shared.folder.path().join(plain.unwrap_or(repository));
    if repository.is_empty() || !folder.join(".git").exists() {
        return StatusCode::NOT_FOUND.into_response();
    }
    let protocol = request
        .headers()
        .get("git-protocol")
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
        .to_owned();
    let body = axum::body::to_bytes(request.into_body(), 1 << 20)
        .await
        .expect("a body");
    let mut arguments = vec!["upload-pack", "--stateless-rpc"];
    if asked {
        arguments.push("--advertise-refs");
    }
    arguments.push(".");
    let output = served(&folder, &arguments, &protocol, body).await;
    let kind = if asked {
        "application/x-git-upload-pack-advertisement"
    } else {
        "application/x-git-upload-pack-result"
    };
    ([(header::CONTENT_TYPE, kind)], Body::from(output)).into_response()
}

async fn served(folder: &Path, arguments: &[&str], protocol: &str, body: Bytes) -> Vec<u8> {
    let mut child = command(folder, arguments)
        .env("GIT_PROTOCOL", protocol)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("git runs");
    let mut input = child.stdin.take().expect("an input");
    let writing = tokio::spawn(async move {
        let _ = input.write_all(&body).await;
    });
    let output = child.wait_with_output().await.expect("an output");
    let _ = writing.await;
    output.stdout
}
