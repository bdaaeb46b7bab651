//! One connection, from its first byte to its last.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;

use crate::answer::{self, Peer};
use crate::app::App;
use crate::busy_poll::BusyPoll;
use crate::settings::Settings;
use crate::watch::{Activity, Verdict, Watched};
use crate::worker::Place;

/// How long a retired connection may take to say goodbye.
const FAREWELL: Duration = Duration::from_secs(5);

/// How connections speak; made once per worker.
pub(crate) fn protocol(settings: &Settings) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        // The watch over the connection has its own, cheaper, timer.
        .header_read_timeout(None)
        .max_buf_size(settings.max_head.max(8 << 10))
        .max_headers(settings.max_headers);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(settings.idle_timeout / 2)
        .max_header_list_size(u32::try_from(settings.max_head).unwrap_or(u32::MAX))
        .max_concurrent_streams(256);
    builder
}

/// Serves a connection until it ends by itself, or `close` is cancelled and its requests are answered; it keeps its place until then.
pub(crate) async fn serve(
    app: Arc<App>,
    protocol: Arc<Builder<TokioExecutor>>,
    stream: TcpStream,
    client: SocketAddr,
    close: CancellationToken,
    polling: Arc<BusyPoll>,
    _place: Place,
) {
    // Answers are written whole: waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let activity = Activity::new(polling);
    let Ok(address) = HeaderValue::try_from(client.to_string()) else { return };
    let peer = Arc::new(Peer { app: app.clone(), client: address, activity: activity.clone() });
    let service = service_fn(move |request| answer::answer(peer.clone(), request));
    let stream = TokioIo::new(Watched::new(stream, activity.clone()));
    let mut connection = pin!(protocol.serve_connection(stream, service));
    let mut look = pin!(tokio::time::sleep(app.settings.head_timeout));
    let mut closing = false;
    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    log::debug!("connection of {client}: {error}");
                    activity.leave_unread();
                }
                return;
            }
            () = close.cancelled(), if !closing => {
                closing = true;
                connection.as_mut().graceful_shutdown();
            }
            () = look.as_mut() => {
                let again = match activity.judge(&app.settings) {
                    Verdict::Keep(time) => time,
                    Verdict::Retire if !closing => {
                        closing = true;
                        connection.as_mut().graceful_shutdown();
                        FAREWELL
                    }
                    Verdict::Retire => return,
                    Verdict::Cut(reason) => {
                        log::debug!("connection of {client} cut: {reason}");
                        return;
                    }
                };
                look.as_mut().reset(tokio::time::Instant::now() + again);
            }
        }
    }
}
