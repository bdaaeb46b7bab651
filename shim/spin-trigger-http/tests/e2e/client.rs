//! An HTTP client that sends exactly what it is told and shows exactly what it gets.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::PATIENCE;

/// An answer as it came.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
    /// Everything that came.
    pub raw: String,
}

/// Sends text as it stands and reads until the server closes.
pub async fn send(address: SocketAddr, text: &str) -> Answer {
    let mut stream = TcpStream::connect(address).await.expect("the server accepts");
    stream.write_all(text.as_bytes()).await.expect("the server reads");
    read_to_end(stream).await
}

/// What is left to come, until the server closes.
pub async fn read_to_end(mut stream: TcpStream) -> Answer {
    let mut bytes = Vec::new();
    // A reset after the answer is the server's way not to read what nobody asked for.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut bytes)).await.expect("the server closes in time");
    Answer::parse(&String::from_utf8_lossy(&bytes))
}

/// Reads one answer's head, byte by byte, so that what follows stays in the stream.
pub async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let byte = tokio::time::timeout(PATIENCE, stream.read_u8()).await.expect("an answer in time");
        head.push(byte.expect("an answer, not the connection's end"));
    }
    String::from_utf8(head).expect("a head is text")
}

pub async fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, "GET", path, "", "").await
}

/// One request on a connection of its own; `headers` end in CRLF each.
pub async fn request(address: SocketAddr, method: &str, path: &str, headers: &str, body: &str) -> Answer {
    let length = if body.is_empty() { String::new() } else { format!("content-length: {}\r\n", body.len()) };
    let head = format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{length}{headers}\r\n");
    send(address, &(head + body)).await
}

impl Answer {
    fn parse(text: &str) -> Self {
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or((text, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        let body = if head.to_ascii_lowercase().contains("transfer-encoding: chunked") { unchunk(body) } else { body.to_owned() };
        Self { status, head: head.to_ascii_lowercase(), body, raw: text.to_owned() }
    }

    /// Status and body, for comparing.
    pub fn told(&self) -> (u16, &str) {
        (self.status, &self.body)
    }
}

/// A body without the sizes between its pieces; what is malformed is shown as it is.
fn unchunk(mut text: &str) -> String {
    let mut body = String::new();
    while let Some((size, rest)) = text.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap_or(0);
        if size == 0 || rest.len() < size {
            break;
        }
        body += &rest[..size];
        text = rest[size..].trim_start_matches("\r\n");
    }
    body
}
