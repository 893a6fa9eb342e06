//! [`Pulse`]: when the last sign of life came from the server. A message of many mebibytes is on its way, in either
//! direction, for longer than a silence is suspected, and its connection lives.
//!
//! A little that we write is no sign: the system takes it although nobody reads any more. It is one when the
//! system had no room and now has, for then something has arrived; and so is more than the system has room for at
//! first, which is written without a pause where encryption is slower than the line.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use bananas_core::{Env, Tick};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How much the system takes from us until that is a sign of life, in bytes. Who writes so much within the time in
/// which a silence is suspected fills all room there is within seconds.
const MUCH: usize = 256 * 1024;

/// When the last sign of life came over a connection. A clone is of the same connection.
#[derive(Clone, Debug)]
pub(crate) struct Pulse(Arc<AtomicU64>);

/// A stream whose pulse is taken.
pub(crate) struct Felt<S> {
    stream: S,
    pulse: Pulse,
    env: Arc<dyn Env>,
    /// What the system has taken since the last sign, in bytes.
    taken: usize,
    /// Whether the system had no room at the last attempt.
    is_full: bool,
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
            taken: 0,
            is_full: false,
        };
        (pulse, felt)
    }

    /// When the last sign of life came.
    pub(crate) fn last(&self) -> Tick {
        Tick::from_micros(self.0.load(Ordering::Acquire))
    }
}

impl<S> Felt<S> {
    fn beat(&mut self) {
        self.taken = 0;
        let now = self.env.monotonic().as_micros();
        self.pulse.0.store(now, Ordering::Release);
    }

    /// Tells by an attempt to write whether there is life.
    fn tried(&mut self, taken: Poll<usize>) {
        let Poll::Ready(taken) = taken else {
            self.is_full = true;
            return;
        };
        self.taken += taken;
        if std::mem::take(&mut self.is_full) || self.taken >= MUCH {
            self.beat();
        }
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
            self.beat();
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
        let polled = Pin::new(&mut self.stream).poll_write(cx, bytes)?;
        self.tried(polled);
        polled.map(Ok)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let polled = Pin::new(&mut self.stream).poll_flush(cx)?;
        self.tried(polled.map(|()| 0));
        polled.map(Ok)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bananas_core::{ManualEnv, Timestamp, TokioEnv};
    use futures::poll;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    /// A stream with so much room, its other end, and its pulse.
    fn stream(room: usize) -> (Felt<DuplexStream>, DuplexStream, Pulse, Arc<ManualEnv>) {
        let tasks = Arc::new(TokioEnv::current());
        let manual = Arc::new(ManualEnv::new(tasks, Timestamp::default(), 1));
        let env: Arc<dyn Env> = Arc::<ManualEnv>::clone(&manual);
        let (ours, theirs) = duplex(room);
        let (pulse, felt) = Pulse::of(ours, &env);
        manual.advance(Duration::from_secs(1));
        (felt, theirs, pulse, manual)
    }

    #[tokio::test]
    async fn a_little_that_is_written_is_no_sign_of_life() {
        let (mut felt, _theirs, pulse, _) = stream(MUCH);
        let before = pulse.last();
        felt.write_all(&[0; 1_024]).await.unwrap();
        felt.flush().await.unwrap();
        assert_eq!(pulse.last(), before);
    }

    #[tokio::test]
    async fn room_where_there_was_none_is_a_sign_of_life() {
        let (mut felt, mut theirs, pulse, env) = stream(16);
        let before = pulse.last();
        felt.write_all(&[0; 16]).await.unwrap();
        let mut more = std::pin::pin!(felt.write_all(&[0]));
        assert!(poll!(&mut more).is_pending());
        assert_eq!(pulse.last(), before);
        theirs.read_exact(&mut [0; 16]).await.unwrap();
        more.await.unwrap();
        assert_eq!(pulse.last(), env.monotonic());
    }

    #[tokio::test]
    async fn much_that_is_written_is_a_sign_of_life() {
        let (mut felt, _theirs, pulse, env) = stream(2 * MUCH);
        felt.write_all(&vec![0; MUCH]).await.unwrap();
        assert_eq!(pulse.last(), env.monotonic());
    }

    #[tokio::test]
    async fn what_is_read_is_a_sign_of_life() {
        let (mut felt, mut theirs, pulse, env) = stream(16);
        theirs.write_all(&[0]).await.unwrap();
        felt.read_exact(&mut [0]).await.unwrap();
        assert_eq!(pulse.last(), env.monotonic());
    }
}
