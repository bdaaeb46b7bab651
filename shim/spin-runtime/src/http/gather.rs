//! An answer's body as far as it is there already, so that a short answer is sent at once, whole, and under its length; the same
//! for the body of an outbound request.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::http::header::CONTENT_LENGTH;
use ::http::{Request, Response, StatusCode};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use super::limit::Wait;
use super::session::Caller;
use super::{BodyError, WasiBody, others_turn, report};

/// Bytes that are kept here; of a longer body the rest streams.
const LONGEST: usize = 64 << 10;
/// What each piece counts at least, as an empty one is kept too.
const SMALLEST: usize = 1 << 10;
/// How often the guest may go on meanwhile: one that computes keeps everything else waiting, each time for a tick.
const TURNS: u32 = 8;
/// How often in a row it may bring nothing: because it waits, or because its time was over in the midst of its work.
const EMPTY_TURNS: u32 = 2;

/// An answer whose body is taken as far as it comes without waiting.
pub(super) struct Gathering {
    response: Response<Gathered>,
    bytes: usize,
    turns: u32,
    empty_turns: u32,
}

/// A body whose beginning is here.
struct Gathered {
    frames: VecDeque<Frame<Bytes>>,
    /// What follows; none where that was all.
    rest: Option<WasiBody>,
    /// How the body ended if not well.
    error: Option<BodyError>,
    /// Whether the length of what is here may be told: the guest has told none itself.
    sized: bool,
    /// Bytes that are still to come, if the answer has a `content-length`.
    owed: Option<u64>,
    /// The caller, until the whole body has come.
    caller: Option<Caller>,
    /// The wait for the next part of the rest.
    wait: Wait,
}

impl Gathering {
    pub(super) fn new(response: Response<WasiBody>) -> Self {
        let length = response.headers().get(CONTENT_LENGTH);
        let (sized, owed) = (length.is_none(), length.and_then(|length| length.to_str().ok()?.parse().ok()));
        let response = response.map(|body| Gathered {
            frames: VecDeque::new(),
            rest: Some(body),
            error: None,
            sized,
            owed,
            caller: None,
            wait: Wait::new(None),
        });
        Self { response, bytes: 0, turns: 0, empty_turns: 0 }
    }

    /// Takes what there is; whether to look again once the guest has gone on: there was neither all nor enough.
    pub(super) fn look(&mut self, context: &mut Context<'_>) -> bool {
        let Gathered { frames, rest, error, owed, .. } = self.response.body_mut();
        let before = frames.len();
        while let Some(body) = rest {
            match Pin::new(body).poll_frame(context) {
                Poll::Ready(Some(Ok(frame))) => {
                    self.bytes += frame.data_ref().map_or(0, Bytes::len).max(SMALLEST);
                    count(owed, &frame);
                    frames.push_back(frame);
                    if self.bytes >= LONGEST {
                        return false;
                    }
                }
                Poll::Ready(end) => {
                    *error = end.and_then(Result::err);
                    *rest = None;
                }
                Poll::Pending => {
                    let empty = self.turns > 0 && frames.len() == before;
                    self.empty_turns = if empty { self.empty_turns + 1 } else { 0 };
                    self.turns += 1;
                    return self.turns <= TURNS && self.empty_turns < EMPTY_TURNS;
                }
            }
        }
        false
    }

    /// The answer, whose body goes on from here. If the body is dropped before its end, the caller has
    /// left.
    pub(super) fn finish(mut self, caller: impl Into<Option<Caller>>) -> Response<WasiBody> {
        // The server never polls the bodies of these.
        let without_body = matches!(self.response.status(), StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        let body = self.response.body_mut();
        match caller.into() {
            Some(caller) if without_body || body.is_complete() => caller.answered(),
            Some(caller) => {
                body.wait = Wait::new(caller.session().handler.timeout());
                body.caller = Some(caller);
            }
            None => {}
        }
        self.response.map(BodyExt::boxed_unsync)
    }
}

/// A request to another server, whose body is taken as far as it comes without waiting. The body has a length
/// where the guest ends it within that time and has given no length itself. The guest goes on in other tasks
/// meanwhile.
pub(crate) async fn gather_request(request: Request<WasiBody>) -> Request<WasiBody> {
    if request.headers().contains_key(CONTENT_LENGTH) || request.body().size_hint().exact().is_some() {
        return request;
    }
    let (head, body) = request.into_parts();
    let mut gathering = Gathering::new(Response::new(body));
    while poll_fn(|context| Poll::Ready(gathering.look(context))).await {
        others_turn().await;
    }
    Request::from_parts(head, gathering.finish(None).into_body())
}

/// Subtracts a part of the body that has come.
fn count(owed: &mut Option<u64>, frame: &Frame<Bytes>) {
    if let Some(owed) = owed {
        *owed = owed.saturating_sub(frame.data_ref().map_or(0, |data| data.len() as u64));
    }
}

impl Gathered {
    /// Whether all of the body is here, and sound.
    fn is_whole(&self) -> bool {
        self.rest.is_none() && self.error.is_none()
    }

    /// Whether nothing more is to come. The server does not poll a body beyond its `content-length`.
    fn is_complete(&self) -> bool {
        self.rest.is_none() || self.owed == Some(0)
    }

    /// Ends the work, because no part of the answer has come for too long.
    fn give_up(&mut self) -> BodyError {
        if let Some(caller) = self.caller.take() {
            let handler = &caller.session().handler;
            let (id, limit) = (handler.component(), handler.timeout().unwrap_or_default());
            report::say(&format!(
                "component \"{id}\" sent no further part of its answer for {limit:?}, so its instance was ended"
            ));
        }
        self.rest = None;
        BodyError::HttpResponseTimeout
    }
}

impl Body for Gathered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        if let Some(frame) = this.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(error) = this.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let Some(rest) = &mut this.rest else { return Poll::Ready(None) };
        let frame = match Pin::new(rest).poll_frame(context) {
            Poll::Pending => {
                ready!(this.wait.poll(context));
                return Poll::Ready(Some(Err(this.give_up())));
            }
            Poll::Ready(frame) => frame,
        };
        match &frame {
            Some(Ok(frame)) => {
                this.wait.end();
                count(&mut this.owed, frame);
            }
            Some(Err(_)) | None => this.rest = None,
        }
        if this.is_complete()
            && let Some(caller) = this.caller.take()
        {
            caller.answered();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.is_whole() && self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match self.sized && self.is_whole() && self.frames.iter().all(Frame::is_data) {
            true => SizeHint::with_exact(self.frames.iter().filter_map(Frame::data_ref).map(|data| data.len() as u64).sum()),
            false => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use futures::channel::mpsc::{UnboundedSender, unbounded};
    use http_body_util::StreamBody;

    use super::*;

    type Sent = UnboundedSender<Result<Frame<Bytes>, BodyError>>;

    /// What a guest does in one of its turns.
    type Step<'a> = &'a dyn Fn(&mut Option<Sent>);

    fn data(length: usize) -> Result<Frame<Bytes>, BodyError> {
        Ok(Frame::data(vec![b'x'; length].into()))
    }

    /// Gathers a body whose guest does something whenever it may go on, for as long as there is something.
    fn gathered(length: Option<u64>, steps: &[Step<'_>]) -> (WasiBody, Option<Sent>) {
        let (sender, receiver) = unbounded();
        let mut response = Response::new(StreamBody::new(receiver).boxed_unsync());
        if let Some(length) = length {
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
        }
        let (mut sender, mut steps, mut gathering) = (Some(sender), steps.iter(), Gathering::new(response));
        while gathering.look(&mut Context::from_waker(Waker::noop())) {
            if let Some(step) = steps.next() {
                step(&mut sender);
            }
        }
        (gathering.finish(None).into_body(), sender)
    }

    fn send(frame: impl Fn() -> Result<Frame<Bytes>, BodyError>) -> impl Fn(&mut Option<Sent>) {
        move |sender| sender.as_ref().unwrap().unbounded_send(frame()).unwrap()
    }

    fn end(sender: &mut Option<Sent>) {
        *sender = None;
    }

    fn polled(body: &mut WasiBody) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(body).poll_frame(&mut Context::from_waker(Waker::noop()))
    }

    fn frame(body: &mut WasiBody) -> Frame<Bytes> {
        match polled(body) {
            Poll::Ready(Some(Ok(frame))) => frame,
            other => panic!("no frame: {other:?}"),
        }
    }

    #[test]
    fn a_short_answer_is_whole_and_has_its_length() {
        let (mut body, _) = gathered(None, &[&send(|| data(3)), &send(|| data(2)), &end]);
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(5), false));
        assert_eq!(frame(&mut body).into_data().unwrap().len(), 3);
        assert_eq!((body.size_hint().exact(), frame(&mut body).into_data().unwrap().len()), (Some(2), 2));
        assert!(body.is_end_stream());
        assert!(matches!(polled(&mut body), Poll::Ready(None)));
    }

    #[test]
    fn a_guest_that_waits_is_not_waited_for_but_one_whose_time_was_over_is() {
        let (empty, full) = (|_: &mut Option<Sent>| (), send(|| data(3)));
        let (body, _) = gathered(None, &[&empty, &full, &empty, &end]);
        assert_eq!(body.size_hint().exact(), Some(3));
        let (body, _sender) = gathered(None, &[&full, &empty, &empty, &end]);
        assert_eq!(body.size_hint().exact(), None);
    }

    #[test]
    fn a_length_the_guest_told_and_trailers_are_left_to_the_server() {
        let (body, _) = gathered(Some(3), &[&send(|| data(3)), &end]);
        assert_eq!(body.size_hint().exact(), None);
        let trailers = || Ok(Frame::trailers(::http::HeaderMap::new()));
        let (mut body, _) = gathered(None, &[&send(|| data(3)), &send(trailers), &end]);
        assert_eq!(body.size_hint().exact(), None);
        assert!(frame(&mut body).is_data() && frame(&mut body).is_trailers());
    }

    #[test]
    fn what_is_not_there_yet_streams() {
        let (mut body, sender) = gathered(None, &[&send(|| data(3))]);
        assert_eq!((body.size_hint().exact(), frame(&mut body).into_data().unwrap().len()), (None, 3));
        assert!(polled(&mut body).is_pending());
        sender.unwrap().unbounded_send(data(4)).unwrap();
        assert_eq!(frame(&mut body).into_data().unwrap().len(), 4);
        assert!(matches!(polled(&mut body), Poll::Ready(None)));
    }

    #[test]
    fn no_more_is_kept_than_the_longest() {
        let piece = send(|| data(LONGEST / 2));
        let (mut body, sender) = gathered(None, &[&piece, &piece, &piece]);
        assert_eq!(body.size_hint().exact(), None);
        assert!(frame(&mut body).is_data() && frame(&mut body).is_data());
        assert!(polled(&mut body).is_pending(), "the third was asked for");
        drop(sender);
    }

    #[test]
    fn a_guest_that_never_ends_is_not_waited_for() {
        let (nothing, asked) = (send(|| data(0)), std::cell::Cell::new(0));
        let step = |sender: &mut Option<Sent>| {
            asked.set(asked.get() + 1);
            nothing(sender);
        };
        let steps: Vec<Step<'_>> = (0..1000).map(|_| &step as Step<'_>).collect();
        gathered(None, &steps);
        assert_eq!(asked.get(), TURNS);
        let flood = |sender: &mut Option<Sent>| (0..1000).for_each(|_| nothing(sender));
        let (mut body, _sender) = gathered(None, &[&flood, &step]);
        let kept = std::iter::from_fn(|| matches!(polled(&mut body), Poll::Ready(Some(_))).then_some(())).count();
        assert_eq!((kept, asked.get()), (1000, TURNS), "nothing is lost, and the guest is not asked for more");
    }

    #[test]
    fn an_error_comes_behind_what_was_sent() {
        let (mut body, _) = gathered(None, &[&send(|| data(3)), &send(|| Err(BodyError::ConnectionTerminated))]);
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (None, false));
        assert!(frame(&mut body).is_data());
        assert!(matches!(polled(&mut body), Poll::Ready(Some(Err(BodyError::ConnectionTerminated)))));
    }
}
