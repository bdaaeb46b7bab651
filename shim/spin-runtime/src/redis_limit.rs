//! A limit for the replies of a Redis server. The client library reads a reply to its end before it hands it
//! out, and Redis sends strings of up to 512 MiB and lists of any length.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A connection that fails where a reply is longer than its limit.
pub(crate) struct LimitedReplies<S> {
    stream: S,
    max_reply_bytes: u64,
    reply: Reply,
    exceeded: bool,
}

/// How much of a reply has come. Its form is RESP, version 2 or 3: elements that begin with a line, which
/// holds the length of a string or the number of further elements.
#[derive(Default)]
struct Reply {
    bytes: u64,
    /// Elements that are still to come.
    elements: u64,
    /// Bytes of a string, and of the line's end behind it, that are still to come.
    string: u64,
    /// The line that is being read.
    line: Option<Line>,
}

struct Line {
    kind: u8,
    number: u64,
    negative: bool,
}

impl<S> LimitedReplies<S> {
    pub(crate) fn new(stream: S, max_reply_bytes: u64) -> Self {
        Self { stream, max_reply_bytes, reply: Reply::default(), exceeded: false }
    }
}

impl Reply {
    /// Counts what has come; the result is the length of the reply as far as it is known, or of the longest
    /// one where several have come.
    fn read(&mut self, mut bytes: &[u8]) -> u64 {
        let mut longest = 0;
        while !bytes.is_empty() {
            let count = match self.string {
                0 => {
                    self.read_line(bytes[0]);
                    1
                }
                string => {
                    // The minimum fits, as it is at most the length of a slice.
                    let count = string.min(bytes.len() as u64);
                    self.string -= count;
                    count as usize
                }
            };
            bytes = &bytes[count..];
            self.bytes += count as u64;
            longest = longest.max(self.bytes.saturating_add(self.string));
        }
        longest
    }

    fn read_line(&mut self, byte: u8) {
        match (&mut self.line, byte) {
            (None, kind) => {
                if self.elements == 0 {
                    (self.bytes, self.elements) = (0, 1);
                }
                self.line = Some(Line { kind, number: 0, negative: false });
            }
            (Some(_), b'\n') => {
                let line = self.line.take();
                self.elements -= 1;
                // A negative number stands for a missing string or list.
                if let Some(Line { kind, number, negative: false }) = line {
                    self.expect(kind, number);
                }
            }
            (Some(line), b'-') => line.negative = true,
            (Some(line), b'0'..=b'9') => {
                line.number = line.number.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
            }
            (Some(_), _) => {}
        }
    }

    /// Notes what follows a line.
    fn expect(&mut self, kind: u8, number: u64) {
        let elements = match kind {
            b'$' | b'=' | b'!' => {
                self.string = number.saturating_add(2);
                0
            }
            b'*' | b'~' | b'>' => number,
            b'%' => number.saturating_mul(2),
            // Attributes, and the element that they belong to.
            b'|' => number.saturating_mul(2).saturating_add(1),
            _ => 0,
        };
        self.elements = self.elements.saturating_add(elements);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LimitedReplies<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.exceeded {
            let reason = format!("a reply is longer than {} bytes", self.max_reply_bytes);
            log::warn!("the connection to a Redis server is closed: {reason}");
            // The kind by which the client library knows that a connection has ended.
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionAborted, reason)));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        // The replies before it are still read.
        self.exceeded = self.reply.read(&buffer.filled()[before..]) > self.max_reply_bytes;
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for LimitedReplies<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio::io::AsyncReadExt;

    use super::*;

    /// The longest reply in the text, which comes in pieces of that size.
    fn longest(text: &str, piece: usize) -> u64 {
        let mut reply = Reply::default();
        text.as_bytes().chunks(piece).map(|piece| reply.read(piece)).max().unwrap_or_default()
    }

    #[test]
    fn the_length_of_a_reply_is_that_of_all_its_elements() {
        for (text, length) in [
            ("+OK\r\n:1\r\n", 5),
            ("$3\r\nabc\r\n+OK\r\n", 9),
            ("$-1\r\n$0\r\n\r\n", 6),
            ("*2\r\n$1\r\na\r\n*1\r\n:5\r\n+OK\r\n", 19),
            ("*-1\r\n*0\r\n-ERR no 1\r\n", 11),
            ("%1\r\n+key\r\n~2\r\n:1\r\n:2\r\n_\r\n", 22),
            ("|1\r\n+a\r\n:1\r\n>1\r\n+b\r\n", 20),
        ] {
            for piece in 1..=text.len() {
                assert_eq!(longest(text, piece), length, "{text:?} in pieces of {piece}");
            }
        }
    }

    #[test]
    fn a_string_counts_as_soon_as_its_length_is_known() {
        assert_eq!(longest("*3\r\n$7\r\nmessage\r\n$536870912\r\n", 5), 29 + 536_870_914);
        assert_eq!(longest(&format!("${}\r\n", u64::MAX), 64), u64::MAX);
    }

    #[tokio::test]
    async fn a_reply_that_is_too_long_ends_the_connection() {
        let read = async |text: &'static str| {
            LimitedReplies::new(text.as_bytes(), 9).read_to_end(&mut Vec::new()).await.map_err(|error| error.kind())
        };
        assert_eq!(read("$3\r\nabc\r\n$3\r\nabc\r\n").await, Ok(18));
        assert_eq!(read("$4\r\nabcd\r\n").await, Err(io::ErrorKind::ConnectionAborted));
        assert_eq!(read("*3\r\n:1\r\n:2\r\n:3\r\n").await, Err(io::ErrorKind::ConnectionAborted));
    }

    proptest! {
        #[test]
        fn no_text_of_a_server_panics(text: Vec<u8>) {
            Reply::default().read(&text);
        }
    }
}
