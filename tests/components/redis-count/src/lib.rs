//! Leaves one trace of each message, so that they can be counted: a message that is the address of a Redis adds 1 to `handled` there, any other
//! writes `#` and a new line.
use spin_sdk::redis::Connection;
use spin_sdk::redis_component;

#[redis_component]
fn count(message: Vec<u8>) -> anyhow::Result<()> {
    let text = String::from_utf8(message)?;
    if text.starts_with("redis://") {
        Connection::open(&text)?.incr("handled")?;
    } else {
        println!("#");
    }
    Ok(())
}
