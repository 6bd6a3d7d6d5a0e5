//! Ports that stay ours while nobody listens on them.
//!
//! A loopback port from the ephemeral range that is free for a moment (its node is dead, its link refuses) can be
//! taken by any outgoing connection, even by the one that tries to reach it: TCP then connects the socket to
//! itself. A socket that is bound with `SO_REUSEADDR` and never listens keeps the kernel from handing the port out,
//! answers connections with a refusal, and lets a listener with `SO_REUSEADDR` bind beside it, in this process or in
//! another.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};

use harness::shortage;
use tokio::net::{TcpListener, TcpSocket};

/// A loopback port held for as long as this value lives.
#[derive(Debug)]
pub struct Port {
    addr: SocketAddr,
    /// The address that is listened on.
    on: Ipv4Addr,
    _holder: TcpSocket,
}

impl Port {
    /// Holds a free port of `127.0.0.1`.
    pub fn reserve() -> io::Result<Self> {
        let holder = bound(Ipv4Addr::LOCALHOST, 0)?;
        Ok(Self { addr: holder.local_addr()?, on: Ipv4Addr::LOCALHOST, _holder: holder })
    }

    /// Holds a port of every address, in a network of its own such as a container's. Its address is that on loopback.
    #[cfg(feature = "docker")]
    pub(crate) fn everywhere(port: u16) -> io::Result<Self> {
        let on = Ipv4Addr::UNSPECIFIED;
        Ok(Self { addr: (Ipv4Addr::LOCALHOST, port).into(), on, _holder: bound(on, port)? })
    }

    /// Holds a free port until this process ends, for tests that restart what listens there.
    #[cfg(test)]
    pub(crate) fn for_good() -> u16 {
        let port = Self::reserve().expect("a loopback port is free");
        let number = port.addr.port();
        std::mem::forget(port);
        number
    }

    /// The address.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Listens on the port. Must be called inside a runtime.
    pub fn listen(&self, backlog: u32) -> io::Result<TcpListener> {
        bound(self.on, self.addr.port())?.listen(backlog)
    }
}

fn bound(on: Ipv4Addr, port: u16) -> io::Result<TcpSocket> {
    let bind = || {
        let socket = TcpSocket::new_v4()?;
        socket.set_reuseaddr(true)?;
        socket.bind(SocketAddr::from((on, port)))?;
        Ok(socket)
    };
    bind().inspect_err(|e| _ = shortage::notice(e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn a_held_port_refuses_and_can_be_listened_on_again_and_again() {
        let port = Port::reserve().unwrap();
        for _ in 0..3 {
            let refused = TcpStream::connect(port.addr()).await.unwrap_err();
            assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);
            let listener = port.listen(8).unwrap();
            let near = TcpStream::connect(port.addr()).await.unwrap();
            drop(listener.accept().await.unwrap());
            drop(near);
        }
    }

    #[tokio::test]
    async fn a_held_port_is_not_handed_out() {
        let held: Vec<_> = (0..50).map(|_| Port::reserve().unwrap()).collect();
        for _ in 0..500 {
            let other = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
            assert!(held.iter().all(|port| port.addr() != other));
        }
    }
}
