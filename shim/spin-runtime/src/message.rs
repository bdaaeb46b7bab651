//! Messages into a component: a fresh instance for each.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::InstancePre;

use crate::component::RedisExport;
use crate::host::HostState;
use crate::instance::StoreError;
use crate::tier::Tiered;
use crate::{Component, report};

mod bindings {
    //! What guests export.
    #![allow(missing_docs, reason = "generated code")]

    /// Up to Spin 3.
    pub(crate) mod spin2 {
        wasmtime::component::bindgen!({ path: "wit", world: "shim:host/redis-handler2", exports: { default: async } });
    }

    /// From Spin 4 on.
    pub(crate) mod spin3 {
        wasmtime::component::bindgen!({ path: "wit", world: "shim:host/redis-handler3", exports: { default: async | store } });
    }
}

use bindings::spin2::exports::fermyon::spin::inbound_redis::Error as Error2;
use bindings::spin2::{RedisHandler2, RedisHandler2Pre};
use bindings::spin3::spin::redis::redis::Error as Error3;
use bindings::spin3::{RedisHandler3, RedisHandler3Pre};

/// How messages are handled.
#[derive(Clone, Debug, Default)]
pub struct MessageOptions {
    /// For the whole work on a message; none: without limit.
    pub timeout: Option<Duration>,
}

/// Why a message was not handled.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MessageError {
    /// The guest says so.
    #[error("{0}")]
    Guest(String),
    /// The component trapped or ended itself: told on stderr already.
    #[error("the component failed")]
    Failed,
    /// The component took too long.
    #[error("the component took too long")]
    TimedOut,
    /// Too many instances, for too long.
    #[error("too many instances are in use")]
    Overloaded,
}

#[derive(Clone)]
pub(crate) enum MessagePre {
    Spin2(RedisHandler2Pre<HostState>),
    Spin3(RedisHandler3Pre<HostState>),
}

impl MessagePre {
    pub(crate) fn new(export: RedisExport, pre: InstancePre<HostState>) -> wasmtime::Result<Self> {
        Ok(match export {
            RedisExport::Spin2 => Self::Spin2(RedisHandler2Pre::new(pre)?),
            RedisExport::Spin3 => Self::Spin3(RedisHandler3Pre::new(pre)?),
        })
    }
}

/// Hands messages to fresh instances of one component.
#[derive(Clone)]
pub struct MessageHandler {
    component: Arc<Component>,
    pre: Arc<Tiered<MessagePre>>,
    timeout: Option<Duration>,
}

impl MessageHandler {
    pub(crate) fn new(component: Arc<Component>, pre: MessagePre, options: MessageOptions) -> Self {
        Self { component, pre: Arc::new(Tiered::new(pre)), timeout: options.timeout }
    }

    /// Hands one message to an instance and waits until it is done. Dropping the future ends the instance.
    pub async fn handle(&self, payload: Vec<u8>) -> Result<(), MessageError> {
        match self.timeout {
            None => self.call(payload).await,
            Some(limit) => tokio::time::timeout(limit, self.call(payload)).await.unwrap_or(Err(MessageError::TimedOut)),
        }
    }

    async fn call(&self, payload: Vec<u8>) -> Result<(), MessageError> {
        let instances = self.component.instances();
        let _permit = instances.wait_for_permit().await;
        let mut store = self.component.store().await.map_err(|error| self.refused(&error))?;
        let tier = store.tier();
        let pre = self.pre.get(tier, || self.component.messages(tier)).map_err(|error| self.refused(&StoreError::Rest(error)))?;
        let result = match pre {
            MessagePre::Spin2(pre) => call2(pre, &mut store, &payload).await,
            MessagePre::Spin3(pre) => call3(pre, &mut store, payload).await,
        };
        result.unwrap_or_else(|error| {
            report::failure(self.component.id(), &error, store.data().limits.exceeded);
            Err(MessageError::Failed)
        })
    }

    fn refused(&self, error: &StoreError) -> MessageError {
        report::unasked(self.component.id(), error);
        MessageError::Overloaded
    }
}

type Answer = wasmtime::Result<Result<(), MessageError>>;

async fn call2(pre: &RedisHandler2Pre<HostState>, store: &mut wasmtime::Store<HostState>, payload: &Vec<u8>) -> Answer {
    let instance: RedisHandler2 = pre.instantiate_async(&mut *store).await?;
    let answer = instance.fermyon_spin_inbound_redis().call_handle_message(&mut *store, payload).await?;
    Ok(match answer {
        Ok(()) | Err(Error2::Success) => Ok(()),
        Err(Error2::Error) => Err(MessageError::Guest("the component answered an error".to_owned())),
    })
}

async fn call3(pre: &RedisHandler3Pre<HostState>, store: &mut wasmtime::Store<HostState>, payload: Vec<u8>) -> Answer {
    let instance: RedisHandler3 = pre.instantiate_async(&mut *store).await?;
    let call = async |accessor: &wasmtime::component::Accessor<HostState>| {
        instance.spin_redis_inbound_redis().call_handle_message(accessor, payload).await
    };
    let answer = store.run_concurrent(call).await??;
    Ok(answer.map_err(|error| {
        MessageError::Guest(match error {
            Error3::InvalidAddress => "invalid address".to_owned(),
            Error3::TooManyConnections => "too many connections".to_owned(),
            Error3::TypeError => "type error".to_owned(),
            Error3::Other(reason) => reason,
        })
    }))
}
