//! The first 200 of a server that is being started.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant, SystemTime};

use crate::error::Error;

/// Between two attempts at first: well below the shortest time that is measured.
const INTERVAL: Duration = Duration::from_micros(250);
/// Later this part of the time that has passed, because who asks takes the processor from who compiles.
const PART: u32 = 400;
/// For how long it is tried.
const PATIENCE: u64 = 60;
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n";

/// When it came: by the clock that measures and by the one that files are stamped with.
#[derive(Clone, Copy, Debug)]
pub struct Answered {
    /// For durations of this process.
    pub at: Instant,
    /// For the age of files.
    pub clock: SystemTime,
}

/// Asks `GET /` over new connections until the answer is 200.
pub fn first_200(address: SocketAddr) -> Result<Answered, Error> {
    let began = Instant::now();
    loop {
        let last = match ask(address) {
            Ok(head) if head.ends_with(b" 200") => return Ok(Answered { at: Instant::now(), clock: SystemTime::now() }),
            Ok(head) => String::from_utf8_lossy(&head).into_owned(),
            Err(error) => error.to_string(),
        };
        let waited = began.elapsed();
        if waited > Duration::from_secs(PATIENCE) {
            return Err(Error::NoAnswer { address, seconds: PATIENCE, last });
        }
        sleep(INTERVAL.max(waited / PART));
    }
}

/// `HTTP/1.1 NNN`, as far as the status.
fn ask(address: SocketAddr) -> io::Result<[u8; 12]> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(Duration::from_secs(PATIENCE)))?;
    stream.write_all(REQUEST)?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    Ok(head)
}
