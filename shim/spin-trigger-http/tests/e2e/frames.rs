//! An HTTP/2 client that sends single frames, also ones that no library would send.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::fixture::PATIENCE;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
const END_HEADERS: u8 = 4;

/// Settings by their numbers.
pub const MAX_STREAMS: u16 = 3;
pub const INITIAL_WINDOW: u16 = 4;

/// A frame that came.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The status of an answer, where it has an entry of its own in HPACK's static table.
    pub fn status(&self) -> u16 {
        match self.payload.first() {
            Some(0x88) => 200,
            Some(0x8d) => 404,
            Some(0x8e) => 500,
            _ => 0,
        }
    }

    /// The value of a setting.
    pub fn setting(&self, number: u16) -> Option<u32> {
        let settings = self.payload.chunks_exact(6);
        let mut found = settings.filter(|setting| setting[..2] == number.to_be_bytes());
        found.next().map(|setting| u32::from_be_bytes([setting[2], setting[3], setting[4], setting[5]]))
    }

    /// The code of a reset or of the end of a connection.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        self.payload.get(at..at + 4).map_or(u32::MAX, |code| u32::from_be_bytes([code[0], code[1], code[2], code[3]]))
    }
}

/// A connection.
pub struct Frames {
    pub stream: TcpStream,
}

impl Frames {
    /// Connects and sends these settings.
    pub async fn connect(address: SocketAddr, settings: &[(u16, u32)]) -> Self {
        let mut frames = Self { stream: TcpStream::connect(address).await.expect("the server accepts") };
        frames.stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await.expect("the server reads");
        let payload = settings.iter().flat_map(|(number, value)| [&number.to_be_bytes()[..], &value.to_be_bytes()].concat());
        frames.send(SETTINGS, 0, 0, &payload.collect::<Vec<_>>()).await;
        frames
    }

    /// Sends one frame.
    pub async fn send(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        let length = u32::try_from(payload.len()).expect("a short frame").to_be_bytes();
        let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
        // The server may have closed the connection; the test checks what it sent before.
        let _ = self.stream.write_all(&[&head, payload].concat()).await;
    }

    /// Sends a GET request on this stream.
    pub async fn get(&mut self, stream: u32, path: &str) {
        self.request(stream, 0x82, path, END_STREAM, &[]).await;
    }

    /// Sends a head: the method is an index of HPACK's static table, `fields` are encoded.
    pub async fn request(&mut self, stream: u32, method: u8, path: &str, flags: u8, fields: &[u8]) {
        let length = u8::try_from(path.len()).ok().filter(|length| *length < 127).expect("a short path");
        let head = [&[method, 0x86, 0x01, 1, b'a', 0x04, length], path.as_bytes(), fields].concat();
        self.send(HEADERS, flags | END_HEADERS, stream, &head).await;
    }

    /// The next frame; none at the connection's end.
    pub async fn next(&mut self) -> Option<Frame> {
        tokio::time::timeout(PATIENCE, self.read()).await.expect("a frame, or the end, in time")
    }

    async fn read(&mut self) -> Option<Frame> {
        let mut head = [0; 9];
        self.stream.read_exact(&mut head).await.ok()?;
        let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
        let mut payload = vec![0; length as usize];
        self.stream.read_exact(&mut payload).await.ok()?;
        let stream = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
        Some(Frame { kind: head[3], flags: head[4], stream, payload })
    }

    /// The next frame of this kind, whatever comes before it.
    pub async fn next_of(&mut self, kind: u8) -> Frame {
        loop {
            let frame = self.next().await.expect("a frame, not the connection's end");
            if frame.kind == kind {
                return frame;
            }
        }
    }

    /// Reads until the connection's end, and acknowledges settings and pings as a library does. Returns all
    /// other frames with their times. `busy` is sent again and again meanwhile.
    pub async fn until_the_end(&mut self, busy: Option<(u8, &[u8])>) -> Vec<(Duration, Frame)> {
        let (begun, mut frames) = (Instant::now(), Vec::new());
        loop {
            let frame = match tokio::time::timeout(Duration::from_millis(50), self.stream.readable()).await {
                Ok(_) => self.next().await,
                Err(_) => {
                    if let Some((kind, payload)) = busy {
                        self.send(kind, 0, 0, payload).await;
                    }
                    assert!(begun.elapsed() < PATIENCE, "the connection does not end: {frames:?}");
                    continue;
                }
            };
            let Some(frame) = frame else { return frames };
            match (frame.kind, frame.flags & ACK) {
                (SETTINGS | PING, 0) => {
                    self.send(frame.kind, ACK, 0, if frame.kind == PING { &frame.payload } else { &[] }).await
                }
                (SETTINGS | PING, _) => {}
                _ => frames.push((begun.elapsed(), frame)),
            }
        }
    }
}
