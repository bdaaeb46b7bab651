//! An answer's body as far as it is there already, so that a short answer is sent at once, whole, and under its length.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use ::http::Response;
use ::http::header::CONTENT_LENGTH;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;

use super::{BodyError, WasiBody};

/// Bytes that are kept here; of a longer body the rest streams.
const LONGEST: usize = 64 << 10;
/// What each piece counts at least, as an empty one is kept too.
const SMALLEST: usize = 1 << 10;
/// How often the guest may go on meanwhile: one that computes keeps everything else waiting, each time for a tick.
const TURNS: u32 = 8;

/// A body whose beginning is here.
struct Gathered {
    frames: VecDeque<Frame<Bytes>>,
    /// What follows; none where that was all.
    rest: Option<WasiBody>,
    /// How the body ended if not well.
    error: Option<BodyError>,
    /// Whether the length of what is here may be told: the guest has told none itself.
    sized: bool,
}

/// Takes what there is of the body, lets `work` go on, and looks again, until there is nothing more, or enough.
pub(super) fn gather(
    response: Response<WasiBody>,
    context: &mut Context<'_>,
    mut work: impl FnMut(&mut Context<'_>),
) -> Response<WasiBody> {
    let (parts, mut body) = response.into_parts();
    let mut gathered =
        Gathered { frames: VecDeque::new(), rest: None, error: None, sized: !parts.headers.contains_key(CONTENT_LENGTH) };
    let (mut bytes, mut turns, mut found) = (0, 0, true);
    let streams = loop {
        match Pin::new(&mut body).poll_frame(context) {
            Poll::Ready(None) => break false,
            Poll::Ready(Some(Err(error))) => {
                gathered.error = Some(error);
                break false;
            }
            Poll::Ready(Some(Ok(frame))) => {
                found = true;
                bytes += frame.data_ref().map_or(0, Bytes::len).max(SMALLEST);
                gathered.frames.push_back(frame);
                if bytes >= LONGEST {
                    break true;
                }
            }
            Poll::Pending if found && turns < TURNS => {
                found = false;
                turns += 1;
                work(context);
            }
            Poll::Pending => break true,
        }
    };
    gathered.rest = streams.then_some(body);
    Response::from_parts(parts, gathered.boxed_unsync())
}

impl Gathered {
    /// Whether all of the body is here, and sound.
    fn is_whole(&self) -> bool {
        self.rest.is_none() && self.error.is_none()
    }
}

impl Body for Gathered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(frame) = self.frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        if let Some(error) = self.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match &mut self.rest {
            Some(rest) => Pin::new(rest).poll_frame(context),
            None => Poll::Ready(None),
        }
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
        let (mut sender, mut steps) = (Some(sender), steps.iter());
        let response = gather(response, &mut Context::from_waker(Waker::noop()), |_| {
            if let Some(step) = steps.next() {
                step(&mut sender);
            }
        });
        (response.into_body(), sender)
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
