//! Accepts connections, not more than the ceiling, and none that stays silent: hyper's keep-alive
//! does not reap a socket that never sent the HTTP/2 preface.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::{Stream, stream};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Sleep,
};
use tonic::transport::server::Connected;

/// Length of the HTTP/2 client preface.
const PREFACE: usize = 24;
/// How long a new connection may take to send it.
const GREETING_LIMIT: Duration = Duration::from_secs(5);
/// Pause after the system refused a connection (too many open files), so as not to spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    address: SocketAddr,
}

impl Peer {
    /// Its address.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.address.ip()
    }
}

/// Accepts connections for ever, at most `ceiling` at once; more wait in the kernel's queue.
pub(super) fn connections(
    listener: TcpListener,
    ceiling: u32,
) -> impl Stream<Item = io::Result<Connection>> {
    let places = Arc::new(Semaphore::new(ceiling as usize));
    stream::unfold((listener, places), |(listener, places)| async {
        loop {
            // The semaphore is never closed; if it were, there is nothing to accept for.
            let place = places.clone().acquire_owned().await.ok()?;
            match listener.accept().await {
                Ok((socket, address)) => {
                    let connection = Connection::new(socket, address, place);
                    return Some((Ok(connection), (listener, places)));
                }
                Err(error) => {
                    tracing::warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    })
}

/// A connection that holds its place, and must greet in time.
#[derive(Debug)]
pub(super) struct Connection {
    socket: TcpStream,
    peer: Peer,
    greeting: Option<(usize, Pin<Box<Sleep>>)>,
    _place: OwnedSemaphorePermit,
}

impl Connection {
    fn new(socket: TcpStream, address: SocketAddr, place: OwnedSemaphorePermit) -> Self {
        // Without it small answers wait for the acknowledgement of earlier ones; if it cannot be
        // set, the connection is merely slower.
        let _ = socket.set_nodelay(true);
        Self {
            socket,
            peer: Peer { address },
            greeting: Some((0, Box::pin(tokio::time::sleep(GREETING_LIMIT)))),
            _place: place,
        }
    }
}

impl Connected for Connection {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        match Pin::new(&mut this.socket).poll_read(cx, buffer) {
            Poll::Ready(outcome) => {
                if let Some((seen, _)) = &mut this.greeting {
                    *seen += buffer.filled().len() - before;
                    if *seen >= PREFACE {
                        this.greeting = None;
                    }
                }
                Poll::Ready(outcome)
            }
            Poll::Pending => {
                let Some((_, limit)) = &mut this.greeting else {
                    return Poll::Pending;
                };
                ready!(limit.as_mut().poll(cx));
                Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }
}
