//! Requests and responses.

use std::time::Duration;

use wasmtime::component::Resource;
use wasmtime_wasi::p2::{DynInputStream, DynOutputStream, DynPollable};
use wasmtime_wasi_http::p2::bindings::http::outgoing_handler as p2_outgoing;
use wasmtime_wasi_http::p2::body::{HostFutureTrailers, HostIncomingBody, HostOutgoingBody};
use wasmtime_wasi_http::p2::types::{
    HostFutureIncomingResponse, HostIncomingRequest, HostIncomingResponse, HostOutgoingRequest, HostOutgoingResponse,
    HostResponseOutparam,
};
use wasmtime_wasi_http::{FieldMap, RequestOptions};

use super::super::HostState;
use super::bindings::wasi::http::types::{self, Error, Method, Scheme};
use super::bindings::wasi::http::{outgoing_handler, types as rc};
use super::{WasiHttpView, p2};

type Result<T> = wasmtime::Result<T>;
type Answer<T, E = ()> = wasmtime::Result<std::result::Result<T, E>>;

impl types::Host for HostState {}

/// Fields could not be refused then: a bad one ends the guest, as it did.
fn refused(error: wasmtime_wasi_http::p2::HeaderError) -> wasmtime::Error {
    match error.downcast() {
        Ok(error) => wasmtime::format_err!("a header is refused: {error:?}"),
        Err(error) => error,
    }
}

impl types::HostFields for HostState {
    async fn new(&mut self, entries: Vec<(String, Vec<u8>)>) -> Result<Resource<FieldMap>> {
        p2::HostFields::from_list(&mut self.http(), entries).map_err(refused)
    }

    async fn get(&mut self, fields: Resource<FieldMap>, name: String) -> Result<Vec<Vec<u8>>> {
        p2::HostFields::get(&mut self.http(), fields, name)
    }

    async fn set(&mut self, fields: Resource<FieldMap>, name: String, values: Vec<Vec<u8>>) -> Result<()> {
        p2::HostFields::set(&mut self.http(), fields, name, values).map_err(refused)
    }

    async fn delete(&mut self, fields: Resource<FieldMap>, name: String) -> Result<()> {
        p2::HostFields::delete(&mut self.http(), fields, name).map_err(refused)
    }

    async fn append(&mut self, fields: Resource<FieldMap>, name: String, value: Vec<u8>) -> Result<()> {
        p2::HostFields::append(&mut self.http(), fields, name, value).map_err(refused)
    }

    async fn entries(&mut self, fields: Resource<FieldMap>) -> Result<Vec<(String, Vec<u8>)>> {
        p2::HostFields::entries(&mut self.http(), fields)
    }

    async fn clone(&mut self, fields: Resource<FieldMap>) -> Result<Resource<FieldMap>> {
        p2::HostFields::clone(&mut self.http(), fields)
    }

    async fn drop(&mut self, fields: Resource<FieldMap>) -> Result<()> {
        p2::HostFields::drop(&mut self.http(), fields)
    }
}

impl types::HostIncomingRequest for HostState {
    async fn method(&mut self, request: Resource<HostIncomingRequest>) -> Result<Method> {
        Ok(p2::HostIncomingRequest::method(&mut self.http(), request)?.into())
    }

    async fn path_with_query(&mut self, request: Resource<HostIncomingRequest>) -> Result<Option<String>> {
        p2::HostIncomingRequest::path_with_query(&mut self.http(), request)
    }

    async fn scheme(&mut self, request: Resource<HostIncomingRequest>) -> Result<Option<Scheme>> {
        Ok(p2::HostIncomingRequest::scheme(&mut self.http(), request)?.map(Into::into))
    }

    async fn authority(&mut self, request: Resource<HostIncomingRequest>) -> Result<Option<String>> {
        p2::HostIncomingRequest::authority(&mut self.http(), request)
    }

    async fn headers(&mut self, request: Resource<HostIncomingRequest>) -> Result<Resource<FieldMap>> {
        p2::HostIncomingRequest::headers(&mut self.http(), request)
    }

    async fn consume(&mut self, request: Resource<HostIncomingRequest>) -> Answer<Resource<HostIncomingBody>> {
        p2::HostIncomingRequest::consume(&mut self.http(), request)
    }

    async fn drop(&mut self, request: Resource<HostIncomingRequest>) -> Result<()> {
        p2::HostIncomingRequest::drop(&mut self.http(), request)
    }
}

impl types::HostOutgoingRequest for HostState {
    async fn new(
        &mut self,
        method: Method,
        path: Option<String>,
        scheme: Option<Scheme>,
        authority: Option<String>,
        headers: Resource<FieldMap>,
    ) -> Result<Resource<HostOutgoingRequest>> {
        let mut http = self.http();
        let headers = p2::HostFields::clone(&mut http, headers)?;
        let request = p2::HostOutgoingRequest::new(&mut http, headers)?;
        let this = || Resource::new_borrow(request.rep());
        let set = p2::HostOutgoingRequest::set_method(&mut http, this(), method.into())?
            .and(p2::HostOutgoingRequest::set_path_with_query(&mut http, this(), path)?)
            .and(p2::HostOutgoingRequest::set_scheme(&mut http, this(), scheme.map(Into::into))?)
            .and(p2::HostOutgoingRequest::set_authority(&mut http, this(), authority)?);
        set.map_err(|()| wasmtime::format_err!("the method, path, scheme or authority of a request is malformed"))?;
        Ok(request)
    }

    async fn write(&mut self, request: Resource<HostOutgoingRequest>) -> Answer<Resource<HostOutgoingBody>> {
        p2::HostOutgoingRequest::body(&mut self.http(), request)
    }

    async fn drop(&mut self, request: Resource<HostOutgoingRequest>) -> Result<()> {
        p2::HostOutgoingRequest::drop(&mut self.http(), request)
    }
}

impl types::HostResponseOutparam for HostState {
    async fn set(
        &mut self,
        out: Resource<HostResponseOutparam>,
        response: std::result::Result<Resource<HostOutgoingResponse>, Error>,
    ) -> Result<()> {
        let failed = |error| p2::ErrorCode::InternalError(Some(format!("{error:?}")));
        p2::HostResponseOutparam::set(&mut self.http(), out, response.map_err(failed))
    }

    async fn drop(&mut self, out: Resource<HostResponseOutparam>) -> Result<()> {
        p2::HostResponseOutparam::drop(&mut self.http(), out)
    }
}

impl types::HostIncomingResponse for HostState {
    async fn status(&mut self, response: Resource<HostIncomingResponse>) -> Result<u16> {
        p2::HostIncomingResponse::status(&mut self.http(), response)
    }

    async fn headers(&mut self, response: Resource<HostIncomingResponse>) -> Result<Resource<FieldMap>> {
        p2::HostIncomingResponse::headers(&mut self.http(), response)
    }

    async fn consume(&mut self, response: Resource<HostIncomingResponse>) -> Answer<Resource<HostIncomingBody>> {
        p2::HostIncomingResponse::consume(&mut self.http(), response)
    }

    async fn drop(&mut self, response: Resource<HostIncomingResponse>) -> Result<()> {
        p2::HostIncomingResponse::drop(&mut self.http(), response)
    }
}

impl types::HostIncomingBody for HostState {
    async fn stream(&mut self, body: Resource<HostIncomingBody>) -> Answer<Resource<DynInputStream>> {
        p2::HostIncomingBody::stream(&mut self.http(), body)
    }

    async fn finish(&mut self, body: Resource<HostIncomingBody>) -> Result<Resource<HostFutureTrailers>> {
        p2::HostIncomingBody::finish(&mut self.http(), body)
    }

    async fn drop(&mut self, body: Resource<HostIncomingBody>) -> Result<()> {
        p2::HostIncomingBody::drop(&mut self.http(), body)
    }
}

impl types::HostFutureTrailers for HostState {
    async fn subscribe(&mut self, trailers: Resource<HostFutureTrailers>) -> Result<Resource<DynPollable>> {
        p2::HostFutureTrailers::subscribe(&mut self.http(), trailers)
    }

    async fn get(
        &mut self,
        trailers: Resource<HostFutureTrailers>,
    ) -> Result<Option<std::result::Result<Resource<FieldMap>, Error>>> {
        match p2::HostFutureTrailers::get(&mut self.http(), trailers)? {
            None => Ok(None),
            Some(Ok(Ok(Some(trailers)))) => Ok(Some(Ok(trailers))),
            Some(Ok(Ok(None))) => Ok(Some(Ok(p2::HostFields::new(&mut self.http())?))),
            Some(Ok(Err(code))) => Ok(Some(Err(code.into()))),
            Some(Err(())) => Err(wasmtime::format_err!("the trailers have been taken already")),
        }
    }

    async fn drop(&mut self, trailers: Resource<HostFutureTrailers>) -> Result<()> {
        p2::HostFutureTrailers::drop(&mut self.http(), trailers)
    }
}

impl types::HostOutgoingResponse for HostState {
    async fn new(&mut self, status: u16, headers: Resource<FieldMap>) -> Result<Resource<HostOutgoingResponse>> {
        let mut http = self.http();
        let headers = p2::HostFields::clone(&mut http, headers)?;
        let response = p2::HostOutgoingResponse::new(&mut http, headers)?;
        p2::HostOutgoingResponse::set_status_code(&mut http, Resource::new_borrow(response.rep()), status)?
            .map_err(|()| wasmtime::format_err!("{status} is not a status"))?;
        Ok(response)
    }

    async fn write(&mut self, response: Resource<HostOutgoingResponse>) -> Answer<Resource<HostOutgoingBody>> {
        p2::HostOutgoingResponse::body(&mut self.http(), response)
    }

    async fn drop(&mut self, response: Resource<HostOutgoingResponse>) -> Result<()> {
        p2::HostOutgoingResponse::drop(&mut self.http(), response)
    }
}

impl types::HostOutgoingBody for HostState {
    async fn write(&mut self, body: Resource<HostOutgoingBody>) -> Answer<Resource<DynOutputStream>> {
        p2::HostOutgoingBody::write(&mut self.http(), body)
    }

    async fn finish(&mut self, body: Resource<HostOutgoingBody>, trailers: Option<Resource<FieldMap>>) -> Result<()> {
        let finished = p2::HostOutgoingBody::finish(&mut self.http(), body, trailers);
        finished.map_err(|error| wasmtime::format_err!("a body can't be finished: {error:?}"))
    }

    async fn drop(&mut self, body: Resource<HostOutgoingBody>) -> Result<()> {
        p2::HostOutgoingBody::drop(&mut self.http(), body)
    }
}

impl types::HostFutureIncomingResponse for HostState {
    async fn get(
        &mut self,
        response: Resource<HostFutureIncomingResponse>,
    ) -> Result<Option<Result2<std::result::Result<Resource<HostIncomingResponse>, Error>>>> {
        let response = p2::HostFutureIncomingResponse::get(&mut self.http(), response)?;
        Ok(response.map(|response| response.map(|response| response.map_err(Into::into))))
    }

    async fn subscribe(&mut self, response: Resource<HostFutureIncomingResponse>) -> Result<Resource<DynPollable>> {
        p2::HostFutureIncomingResponse::subscribe(&mut self.http(), response)
    }

    async fn drop(&mut self, response: Resource<HostFutureIncomingResponse>) -> Result<()> {
        p2::HostFutureIncomingResponse::drop(&mut self.http(), response)
    }
}

/// An error without a word: it was taken already.
type Result2<T> = std::result::Result<T, ()>;

impl outgoing_handler::Host for HostState {
    async fn handle(
        &mut self,
        request: Resource<HostOutgoingRequest>,
        options: Option<rc::RequestOptions>,
    ) -> Answer<Resource<HostFutureIncomingResponse>, Error> {
        let milliseconds = |limit: Option<u32>| limit.map(|limit| Duration::from_millis(limit.into()));
        let options = options.map(|options| RequestOptions {
            connect_timeout: milliseconds(options.connect_timeout_ms),
            first_byte_timeout: milliseconds(options.first_byte_timeout_ms),
            between_bytes_timeout: milliseconds(options.between_bytes_timeout_ms),
        });
        let options = options.map(|options| self.table.push(options)).transpose()?;
        match p2_outgoing::Host::handle(&mut self.http(), request, options) {
            Ok(response) => Ok(Ok(response)),
            Err(error) => Ok(Err(error.downcast()?.into())),
        }
    }
}

impl From<p2::ErrorCode> for Error {
    fn from(code: p2::ErrorCode) -> Self {
        use p2::ErrorCode::{
            ConnectionReadTimeout, ConnectionTimeout, ConnectionWriteTimeout, DnsTimeout, HttpProtocolError,
            HttpRequestUriInvalid, HttpResponseTimeout,
        };
        let words = format!("{code:?}");
        match code {
            HttpRequestUriInvalid => Self::InvalidUrl(words),
            DnsTimeout | ConnectionTimeout | ConnectionReadTimeout | ConnectionWriteTimeout | HttpResponseTimeout => {
                Self::TimeoutError(words)
            }
            HttpProtocolError => Self::ProtocolError(words),
            _ => Self::UnexpectedError(words),
        }
    }
}

impl From<p2::Method> for Method {
    fn from(method: p2::Method) -> Self {
        match method {
            p2::Method::Get => Self::Get,
            p2::Method::Head => Self::Head,
            p2::Method::Post => Self::Post,
            p2::Method::Put => Self::Put,
            p2::Method::Delete => Self::Delete,
            p2::Method::Connect => Self::Connect,
            p2::Method::Options => Self::Options,
            p2::Method::Trace => Self::Trace,
            p2::Method::Patch => Self::Patch,
            p2::Method::Other(name) => Self::Other(name),
        }
    }
}

impl From<Method> for p2::Method {
    fn from(method: Method) -> Self {
        match method {
            Method::Get => Self::Get,
            Method::Head => Self::Head,
            Method::Post => Self::Post,
            Method::Put => Self::Put,
            Method::Delete => Self::Delete,
            Method::Connect => Self::Connect,
            Method::Options => Self::Options,
            Method::Trace => Self::Trace,
            Method::Patch => Self::Patch,
            Method::Other(name) => Self::Other(name),
        }
    }
}

impl From<p2::Scheme> for Scheme {
    fn from(scheme: p2::Scheme) -> Self {
        match scheme {
            p2::Scheme::Http => Self::Http,
            p2::Scheme::Https => Self::Https,
            p2::Scheme::Other(name) => Self::Other(name),
        }
    }
}

impl From<Scheme> for p2::Scheme {
    fn from(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Http => Self::Http,
            Scheme::Https => Self::Https,
            Scheme::Other(name) => Self::Other(name),
        }
    }
}
