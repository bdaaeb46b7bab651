//! One connection, from its first byte to its last.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use http::HeaderValue;
use hyper::service::service_fn;
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::activity::Activity;
use crate::answer::{self, Peer};
use crate::app::App;
use crate::busy_poll::BusyPoll;
use crate::client_wait::{Awaited, Command, now};
use crate::protocol::{HttpConnection, Protocols};
use crate::settings::Settings;
use crate::worker::Place;

/// How long a client may take to close its side after the server has shut the connection down.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(1);

/// How long an accepted connection may still send its first request after the port is closed: its client
/// can't know yet that the server shuts down. Go's net/http waits as long.
const FIRST_REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a request takes at most from the kernel's buffer to hyper.
const READ_DELAY: Duration = Duration::from_millis(10);

/// The longest time between two checks of a connection.
const MAX_CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// What to do with a connection.
#[derive(Debug, PartialEq)]
enum Action {
    /// Check it again after this time.
    Keep(Duration),
    /// End it in good order: it is idle, or the server shuts down.
    ShutDown,
    /// End it at once, for this reason.
    Abort(&'static str),
}

/// The times at which the end of a connection began, in milliseconds of [`now`].
#[derive(Clone, Copy, Default)]
struct Ending {
    /// The server closed its port.
    draining_since: Option<u64>,
    /// The connection was shut down; its client has been informed.
    shut_down_since: Option<u64>,
}

/// The time between two checks of a connection. It is the shortest time-out: a wait that begins between
/// two checks is found before it has lasted too long.
fn check_interval(settings: &Settings) -> Duration {
    [settings.head_timeout, settings.idle_timeout, settings.stall_timeout].into_iter().fold(MAX_CHECK_INTERVAL, Duration::min)
}

/// Decides about a connection by what the server waits for, and since when.
fn check(wait: Option<(Awaited, u64)>, now: u64, ending: Ending, settings: &Settings) -> Action {
    let interval = check_interval(settings);
    let Some((awaited, since)) = wait else { return Action::Keep(interval) };
    let left = |limit: Duration, since: u64| limit.saturating_sub(Duration::from_millis(now.saturating_sub(since)));
    let (left, end) = match awaited {
        Awaited::Head => (left(settings.head_timeout, since), Action::Abort("the client does not complete the request's head")),
        Awaited::Response => (left(settings.stall_timeout, since), Action::Abort("the client does not read the response")),
        // The body has its own timer, which fails the guest's read.
        Awaited::Body => return Action::Keep(interval),
        Awaited::FirstRequest | Awaited::NextRequest => match (ending.shut_down_since, ending.draining_since) {
            (Some(shut_down), _) => {
                (left(SHUTDOWN_TIMEOUT, since.max(shut_down)), Action::Abort("the client does not close its side"))
            }
            (None, Some(draining)) if awaited == Awaited::FirstRequest => {
                (left(FIRST_REQUEST_TIMEOUT, draining), Action::ShutDown)
            }
            (None, Some(_)) => (Duration::ZERO, Action::ShutDown),
            (None, None) => (left(settings.idle_timeout, since), Action::ShutDown),
        },
    };
    if left.is_zero() { end } else { Action::Keep(left.min(interval)) }
}

/// Decides about a connection whose resources other clients need.
fn evict(wait: Option<(Awaited, u64)>) -> Action {
    match wait {
        // The client has done its part since the command was sent.
        None => Action::Keep(READ_DELAY),
        Some((Awaited::FirstRequest | Awaited::NextRequest, _)) => Action::ShutDown,
        Some((Awaited::Head | Awaited::Body | Awaited::Response, _)) => Action::Abort("other clients need its resources"),
    }
}

/// Serves a connection until it ends, or the server drains and its requests are answered. It holds its
/// place until then.
pub(crate) async fn serve(
    app: Arc<App>,
    protocols: Arc<Protocols>,
    stream: TcpStream,
    client: SocketAddr,
    polling: Arc<BusyPoll>,
    place: Place,
) {
    let activity = Activity::new(polling, app.settings.send_buffer);
    let Ok(address) = HeaderValue::try_from(client.to_string()) else { return };
    let peer = Arc::new(Peer { app: app.clone(), client: address, activity: activity.clone(), worker: place.worker.clone() });
    let _registered = app.registry.add(&activity.wait, true);
    let http1_peer = peer.clone();
    let http1 = service_fn(move |request| answer::answer(http1_peer.clone(), request));
    let mut connection = HttpConnection::new(stream, place, peer, protocols, http1);
    let mut timer = pin!(tokio::time::sleep(check_interval(&app.settings)));
    let mut ending = Ending::default();
    loop {
        let command = tokio::select! {
            biased;
            ended = &mut connection => return log_end(ended, client, &activity),
            command = activity.wait.receive() => Some(command),
            () = timer.as_mut() => None,
        };
        let (wait, now) = (activity.wait.longest(), now());
        if command == Some(Command::Drain) {
            ending.draining_since = Some(now);
        }
        let action = match command {
            Some(Command::Evict) if ending.shut_down_since.is_none() => evict(wait),
            // Requests in work are finished, and so are those that an HTTP/2 client sends before GOAWAY reaches it.
            Some(Command::Drain) if wait.is_none() || connection.is_http2() => Action::ShutDown,
            _ => check(wait, now, ending, &app.settings),
        };
        let next_check = match action {
            Action::Keep(time) => time,
            Action::Abort(reason) => return log::debug!("connection of {client} aborted: {reason}"),
            Action::ShutDown => {
                activity.request_probe();
                if let Poll::Ready(ended) = poll_fn(|context| Poll::Ready(Pin::new(&mut connection).poll(context))).await {
                    return log_end(ended, client, &activity);
                }
                let is_active = connection.has_input() || activity.wait.longest() != wait;
                match is_active && !connection.is_http2() {
                    // A request has just arrived, which would be lost.
                    true => READ_DELAY,
                    false => {
                        ending.shut_down_since = Some(now);
                        connection.shut_down();
                        SHUTDOWN_TIMEOUT
                    }
                }
            }
        };
        timer.as_mut().reset(Instant::now() + next_check);
    }
}

fn log_end(ended: hyper::Result<()>, client: SocketAddr, activity: &Activity) {
    if let Err(error) = ended {
        log::debug!("connection of {client}: {error}");
        activity.leave_unread();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPEN: Ending = Ending { draining_since: None, shut_down_since: None };

    fn settings() -> Settings {
        let [head_timeout, idle_timeout, stall_timeout] = [10, 120, 60].map(Duration::from_secs);
        Settings { head_timeout, idle_timeout, stall_timeout, ..Settings::default() }
    }

    fn after(awaited: Awaited, milliseconds: u64, ending: Ending) -> Action {
        check(Some((awaited, 1_000_000)), 1_000_000 + milliseconds, ending, &settings())
    }

    fn keep(milliseconds: u64) -> Action {
        Action::Keep(Duration::from_millis(milliseconds))
    }

    #[test]
    fn a_connection_with_a_request_in_work_has_no_time_limit() {
        assert_eq!(check(None, u64::MAX, OPEN, &settings()), keep(10_000));
        assert_eq!(after(Awaited::Body, 1_000_000, OPEN), keep(10_000));
    }

    #[test]
    fn an_idle_connection_is_shut_down_at_its_time_and_not_before() {
        for awaited in [Awaited::FirstRequest, Awaited::NextRequest] {
            assert_eq!(after(awaited, 1, OPEN), keep(10_000));
            assert_eq!(after(awaited, 119_000, OPEN), keep(1000));
            assert_eq!(after(awaited, 120_000, OPEN), Action::ShutDown);
        }
    }

    #[test]
    fn half_a_head_is_aborted_at_its_time_whatever_was_checked_before() {
        assert_eq!(after(Awaited::Head, 9_999, OPEN), keep(1));
        assert!(matches!(after(Awaited::Head, 10_000, OPEN), Action::Abort(_)));
    }

    #[test]
    fn a_client_that_does_not_read_is_aborted_after_the_stall_timeout() {
        assert_eq!(after(Awaited::Response, 59_000, OPEN), keep(1000));
        assert!(matches!(after(Awaited::Response, 60_000, OPEN), Action::Abort(_)));
    }

    #[test]
    fn a_draining_server_waits_for_first_requests_only() {
        let draining = Ending { draining_since: Some(1_050_000), shut_down_since: None };
        assert_eq!(after(Awaited::NextRequest, 50_000, draining), Action::ShutDown);
        assert_eq!(after(Awaited::FirstRequest, 50_000, draining), keep(5000));
        assert_eq!(after(Awaited::FirstRequest, 55_000, draining), Action::ShutDown);
    }

    #[test]
    fn a_shut_down_connection_has_a_second_after_its_last_request() {
        let shut_down = Ending { draining_since: Some(1_000_000), shut_down_since: Some(1_000_500) };
        assert_eq!(after(Awaited::NextRequest, 1000, shut_down), keep(500));
        assert!(matches!(after(Awaited::NextRequest, 1500, shut_down), Action::Abort(_)));
    }
}
