//! Streams and waiting for them.

use wasmtime::component::Resource;
use wasmtime_wasi::p2::bindings::io::{error, poll as p2_poll, streams as p2};
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable, IoError, StreamError, StreamResult};

use super::super::HostState;
use super::bindings::wasi::io::{poll, streams};

impl poll::Host for HostState {
    async fn poll_list(&mut self, pollables: Vec<Resource<DynPollable>>) -> wasmtime::Result<Vec<u32>> {
        p2_poll::Host::poll(&mut self.table, pollables).await
    }

    async fn poll_one(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        p2_poll::HostPollable::block(&mut self.table, pollable).await
    }
}

impl poll::HostPollable for HostState {
    async fn drop(&mut self, pollable: Resource<DynPollable>) -> wasmtime::Result<()> {
        p2_poll::HostPollable::drop(&mut self.table, pollable)
    }
}

impl streams::Host for HostState {
    fn convert_stream_error(&mut self, error: StreamError) -> wasmtime::Result<streams::StreamError> {
        Ok(match p2::Host::convert_stream_error(&mut self.table, error)? {
            p2::StreamError::Closed => streams::StreamError::Closed,
            p2::StreamError::LastOperationFailed(error) => streams::StreamError::LastOperationFailed(error),
        })
    }
}

impl streams::HostError for HostState {
    async fn to_debug_string(&mut self, error: Resource<IoError>) -> wasmtime::Result<String> {
        error::HostError::to_debug_string(&mut self.table, error)
    }

    async fn drop(&mut self, error: Resource<IoError>) -> wasmtime::Result<()> {
        error::HostError::drop(&mut self.table, error)
    }
}

impl streams::HostInputStream for HostState {
    async fn read(&mut self, stream: Resource<DynInputStream>, length: u64) -> StreamResult<Vec<u8>> {
        p2::HostInputStream::read(&mut self.table, stream, length)
    }

    async fn blocking_read(&mut self, stream: Resource<DynInputStream>, length: u64) -> StreamResult<Vec<u8>> {
        p2::HostInputStream::blocking_read(&mut self.table, stream, length).await
    }

    async fn skip(&mut self, stream: Resource<DynInputStream>, length: u64) -> StreamResult<u64> {
        p2::HostInputStream::skip(&mut self.table, stream, length)
    }

    async fn blocking_skip(&mut self, stream: Resource<DynInputStream>, length: u64) -> StreamResult<u64> {
        p2::HostInputStream::blocking_skip(&mut self.table, stream, length).await
    }

    async fn subscribe(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        p2::HostInputStream::subscribe(&mut self.table, stream)
    }

    async fn drop(&mut self, stream: Resource<DynInputStream>) -> wasmtime::Result<()> {
        p2::HostInputStream::drop(&mut self.table, stream).await
    }
}

impl streams::HostOutputStream for HostState {
    async fn check_write(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<u64> {
        p2::HostOutputStream::check_write(&mut self.table, stream)
    }

    async fn write(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        p2::HostOutputStream::write(&mut self.table, stream, bytes)
    }

    async fn blocking_write_and_flush(&mut self, stream: Resource<DynOutputStream>, bytes: Vec<u8>) -> StreamResult<()> {
        p2::HostOutputStream::blocking_write_and_flush(&mut self.table, stream, bytes).await
    }

    async fn flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        p2::HostOutputStream::flush(&mut self.table, stream)
    }

    async fn blocking_flush(&mut self, stream: Resource<DynOutputStream>) -> StreamResult<()> {
        p2::HostOutputStream::blocking_flush(&mut self.table, stream).await
    }

    async fn subscribe(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<Resource<DynPollable>> {
        p2::HostOutputStream::subscribe(&mut self.table, stream)
    }

    async fn write_zeroes(&mut self, stream: Resource<DynOutputStream>, length: u64) -> StreamResult<()> {
        p2::HostOutputStream::write_zeroes(&mut self.table, stream, length)
    }

    async fn blocking_write_zeroes_and_flush(&mut self, stream: Resource<DynOutputStream>, length: u64) -> StreamResult<()> {
        p2::HostOutputStream::blocking_write_zeroes_and_flush(&mut self.table, stream, length).await
    }

    async fn splice(
        &mut self,
        stream: Resource<DynOutputStream>,
        source: Resource<DynInputStream>,
        length: u64,
    ) -> StreamResult<u64> {
        p2::HostOutputStream::splice(&mut self.table, stream, source, length)
    }

    async fn blocking_splice(
        &mut self,
        stream: Resource<DynOutputStream>,
        source: Resource<DynInputStream>,
        length: u64,
    ) -> StreamResult<u64> {
        p2::HostOutputStream::blocking_splice(&mut self.table, stream, source, length).await
    }

    /// Gone in 0.2: splicing until the source ends is the same.
    async fn forward(&mut self, stream: Resource<DynOutputStream>, source: Resource<DynInputStream>) -> StreamResult<u64> {
        let mut forwarded = 0;
        loop {
            let (to, from) = (Resource::new_borrow(stream.rep()), Resource::new_borrow(source.rep()));
            match p2::HostOutputStream::blocking_splice(&mut self.table, to, from, u64::MAX).await {
                Ok(length) => forwarded += length,
                Err(StreamError::Closed) => return Ok(forwarded),
                Err(error) => return Err(error),
            }
        }
    }

    async fn drop(&mut self, stream: Resource<DynOutputStream>) -> wasmtime::Result<()> {
        p2::HostOutputStream::drop(&mut self.table, stream).await
    }
}
