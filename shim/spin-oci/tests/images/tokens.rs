//! A token service of a test's own, whose tokens a real registry checks. Signed by `openssl`.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use tempfile::TempDir;

/// The service's name, and the issuer of its tokens, as the registry's configuration has them.
pub const SERVICE: &str = "test-registry";
pub const ISSUER: &str = "test-tokens";
/// The identity token that the service exchanges; and takes for a password.
pub const IDENTITY: &str = "an-identity-token&more";

/// A running service.
pub struct TokenService {
    port: u16,
    keys: Arc<TempDir>,
    requests: Arc<Mutex<Vec<String>>>,
}

/// A request for a token.
struct Request {
    method: String,
    /// From the query and from the form in the body.
    fields: BTreeMap<String, String>,
    /// By basic authentication.
    login: Option<(String, String)>,
}

impl TokenService {
    pub fn start() -> Self {
        let keys = Arc::new(tempfile::tempdir().unwrap());
        let make = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=tokens -keyout key.pem -out cert.pem";
        openssl(&keys, &make.split(' ').collect::<Vec<_>>(), b"");
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let service = Self { port: listener.local_addr().unwrap().port(), keys, requests: Arc::default() };
        let (keys, requests) = (service.keys.clone(), service.requests.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let answered = stream.and_then(|stream| answer(stream, &keys, &requests));
                answered.unwrap_or_else(|error| eprintln!("the token service: {error}"));
            }
        });
        service
    }

    pub fn realm(&self) -> String {
        format!("http://127.0.0.1:{}/token", self.port)
    }

    /// A file with the certificate that its tokens are checked by.
    pub fn certificate(&self) -> PathBuf {
        self.keys.path().join("cert.pem")
    }

    /// How it was asked for tokens so far, a line for each that it gave.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

/// Runs `openssl` in the directory of the keys; what it writes to its standard output.
fn openssl(keys: &TempDir, args: &[&str], input: &[u8]) -> Vec<u8> {
    let mut command = Command::new("openssl");
    command.args(args).current_dir(keys.path()).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().expect("openssl is installed");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "openssl {args:?}");
    output.stdout
}

fn answer(mut stream: TcpStream, keys: &TempDir, requests: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let request = Request::read(&stream)?;
    let scope = request.field("scope");
    let (status, body) = match request.granted() {
        Some(how) => {
            requests.lock().unwrap().push(format!("{} {how} {scope}", request.method));
            let name = if request.method == "POST" { "access_token" } else { "token" };
            ("200 OK", json!({ name: token(keys, scope) }))
        }
        None => ("401 Unauthorized", json!({ "details": format!("not {:?}", request.field("refresh_token")) })),
    };
    let body = body.to_string();
    write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}", body.len())
}

impl Request {
    fn read(stream: &TcpStream) -> std::io::Result<Self> {
        let mut reader = BufReader::new(stream);
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line: &String| !line.trim().is_empty()) {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            lines.push(line);
        }
        let header = |name: &str| {
            lines.iter().filter_map(|line| line.split_once(": ")).find(|(known, _)| known.eq_ignore_ascii_case(name))
        };
        let length = header("content-length").map_or(0, |(_, value)| value.trim().parse().unwrap());
        let mut body = vec![0; length];
        reader.read_exact(&mut body)?;
        let mut words = lines[0].split(' ');
        let (method, target) = (words.next().unwrap().to_owned(), words.next().unwrap_or_default());
        let query = target.split_once('?').map_or("", |(_, query)| query);
        let fields = url::form_urlencoded::parse(query.as_bytes()).chain(url::form_urlencoded::parse(&body));
        let login = header("authorization").and_then(|(_, value)| {
            let decoded = BASE64_STANDARD.decode(value.trim().strip_prefix("Basic ")?).ok()?;
            let (user, password) = String::from_utf8(decoded).ok()?.split_once(':').map(|(a, b)| (a.to_owned(), b.to_owned()))?;
            Some((user, password))
        });
        let fields = fields.map(|(name, value)| (name.into_owned(), value.into_owned())).collect();
        Ok(Self { method, fields, login })
    }

    fn field(&self, name: &str) -> &str {
        self.fields.get(name).map_or("", String::as_str)
    }

    /// How the identity token came; `None` where the request does not deserve a token.
    fn granted(&self) -> Option<String> {
        let login = self.login.as_ref().filter(|(_, password)| password == IDENTITY);
        let exchange = self.method == "POST"
            && self.field("grant_type") == "refresh_token"
            && self.field("refresh_token") == IDENTITY
            && !self.field("client_id").is_empty();
        match (self.field("service") == SERVICE, login) {
            (true, _) if exchange => Some("refresh_token".to_owned()),
            (true, Some((user, _))) if self.method == "GET" => Some(user.clone()),
            _ => None,
        }
    }
}

/// A token for a scope `repository:NAME:ACTIONS`, as registries check it (RFC 7519).
fn token(keys: &TempDir, scope: &str) -> String {
    let parts: Vec<&str> = scope.split(':').collect();
    let [kind, name, actions] = parts[..] else { panic!("{scope:?} is no scope") };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let actions: Vec<&str> = actions.split(',').collect();
    let claims = json!({
        "iss": ISSUER, "aud": SERVICE, "sub": "cook", "jti": "1", "iat": now - 5, "nbf": now - 5, "exp": now + 300,
        "access": [{ "type": kind, "name": name, "actions": actions }],
    });
    let certificate = openssl(keys, &["x509", "-in", "cert.pem", "-outform", "DER"], b"");
    let header = json!({ "typ": "JWT", "alg": "RS256", "x5c": [BASE64_STANDARD.encode(certificate)] });
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let signed = format!("{}.{}", encode(&header), encode(&claims));
    let signature = openssl(keys, &["dgst", "-sha256", "-sign", "key.pem"], signed.as_bytes());
    format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}
