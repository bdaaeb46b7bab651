//! A Redis server of the test's own, on a port of the loopback.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};

use harness::wait::until;
use redis::aio::MultiplexedConnection;

use crate::fixture::PATIENCE;

pub struct RedisServer {
    pub port: u16,
    process: Option<Child>,
}

impl RedisServer {
    /// A server that answers.
    pub async fn start() -> Self {
        let mut server = Self::absent();
        server.resume().await;
        server
    }

    /// A port where no server is, so far.
    pub fn absent() -> Self {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        Self { port: free.local_addr().expect("bound").port(), process: None }
    }

    pub async fn resume(&mut self) {
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &self.port.to_string()])
            .stdout(Stdio::null())
            .spawn();
        self.process = Some(process.expect("redis-server is on the PATH"));
        until("Redis answers", PATIENCE, async || self.connection().await.is_some()).await;
    }

    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    pub fn address(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    async fn connection(&self) -> Option<MultiplexedConnection> {
        redis::Client::open(self.address()).expect("an address").get_multiplexed_async_connection().await.ok()
    }

    /// Runs a command.
    pub async fn ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> T {
        self.try_ask(command).await.expect("an answer of that type")
    }

    /// Runs a command; none: no answer in time, or none of that type.
    pub async fn try_ask<T: redis::FromRedisValue>(&self, command: &[&str]) -> Option<T> {
        let mut connection = self.connection().await?;
        redis::cmd(command[0]).arg(&command[1..]).query_async(&mut connection).await.ok()
    }

    pub async fn publish(&self, channel: &str, messages: &[String]) {
        let mut connection = self.connection().await.expect("Redis answers");
        let mut pipeline = redis::pipe();
        for message in messages {
            pipeline.publish(channel, message).ignore();
        }
        pipeline.query_async::<()>(&mut connection).await.expect("published");
    }

    /// Waits until somebody listens to the channel.
    pub async fn listened_to(&self, channel: &str) {
        let listened = async || self.ask::<(String, u32)>(&["PUBSUB", "NUMSUB", channel]).await.1 > 0;
        until("somebody listens", PATIENCE, listened).await;
    }

    /// What a guest has pushed, sorted.
    pub async fn list(&self, name: &str) -> Vec<String> {
        let mut list: Vec<String> = self.ask(&["LRANGE", name, "0", "-1"]).await;
        list.sort();
        list
    }

    pub async fn list_grows_to(&self, name: &str, length: usize) {
        until("the list has its length", PATIENCE, async || self.ask::<usize>(&["LLEN", name]).await >= length).await;
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}
