//! A server that is further away than loopback.

use std::error::Error;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use url::Url;

/// Returns the URL of the same database over a way on which each answer takes `delay` longer.
///
/// The way has threads of its own: an asynchronous timer counts whole milliseconds.
pub(crate) fn far_away(url: &str, delay: Duration) -> Result<String, Box<dyn Error>> {
    let mut far: Url = url.parse()?;
    let near = format!("{}:{}", far.host_str().ok_or("no host")?, far.port().ok_or("no port")?);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    far.set_host(Some("127.0.0.1"))?;
    far.set_port(Some(listener.local_addr()?.port())).map_err(|()| "no port")?;
    thread::spawn(move || {
        for client in listener.incoming() {
            let (client, server) = (client?, TcpStream::connect(near.as_str())?);
            let (to_server, to_client) = (server.try_clone()?, client.try_clone()?);
            thread::spawn(move || carry(client, to_server, Duration::ZERO));
            thread::spawn(move || carry(server, to_client, delay));
        }
        io::Result::Ok(())
    });
    Ok(far.into())
}

/// Hands on what comes, each time later by `delay`, until one of the ends closes.
fn carry(mut from: TcpStream, mut to: TcpStream, delay: Duration) -> io::Result<()> {
    to.set_nodelay(true)?;
    let mut bytes = vec![0; 65_536];
    loop {
        let count = from.read(&mut bytes)?;
        if !delay.is_zero() {
            thread::sleep(delay);
        }
        match bytes.get(..count) {
            Some(answer) if count > 0 => to.write_all(answer)?,
            _ => return to.shutdown(Shutdown::Both),
        }
    }
}
