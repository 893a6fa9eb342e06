//! [`Pulse`]: when the last bytes came from the server. An answer of many mebibytes is on its way for longer than
//! a silence is suspected, and its connection lives. What we write counts for nothing: the system takes it for a
//! while although nobody reads.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bananas_core::{Env, Tick};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// When the last bytes came over a connection. A clone is of the same connection.
#[derive(Clone, Debug)]
pub(crate) struct Pulse(Arc<AtomicU64>);

/// A stream whose pulse is taken.
pub(crate) struct Felt<S> {
    stream: S,
    pulse: Pulse,
    env: Arc<dyn Env>,
}

impl Pulse {
    /// Takes the pulse of a stream from now on.
    pub(crate) fn of<S>(stream: S, env: &Arc<dyn Env>) -> (Self, Felt<S>) {
        let now = env.monotonic().as_micros();
        let pulse = Self(Arc::new(AtomicU64::new(now)));
        let felt = Felt {
            stream,
            pulse: pulse.clone(),
            env: Arc::clone(env),
        };
        (pulse, felt)
    }

    /// When the last bytes came.
    pub(crate) fn last(&self) -> Tick {
        Tick::from_micros(self.0.load(Ordering::Acquire))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Felt<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.stream).poll_read(cx, buffer);
        if buffer.filled().len() > before {
            let now = self.env.monotonic().as_micros();
            self.pulse.0.store(now, Ordering::Release);
        }
        polled
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Felt<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
