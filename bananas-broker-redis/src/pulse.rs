//! [`Pulse`]: since when a connection has given no sign of life although it was asked for one. A message of many
//! mebibytes is on its way, in either direction, for longer than a silence is suspected, and its connection lives.
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

/// That nothing was written since the last bytes came.
const ANSWERED: u64 = 0;

/// Since when a connection gives no sign of life. A clone is of the same connection.
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
        let pulse = Self(Arc::new(AtomicU64::new(ANSWERED)));
        let felt = Felt {
            stream,
            pulse: pulse.clone(),
            env: Arc::clone(env),
            taken: 0,
            is_full: false,
        };
        (pulse, felt)
    }

    /// Since when something was written and no sign of life has come; `None` when nothing was written since the
    /// last bytes came.
    pub(crate) fn missing(&self) -> Option<Tick> {
        match self.0.load(Ordering::Acquire) {
            ANSWERED => None,
            since => Some(Tick::from_micros(since)),
        }
    }
}

impl<S> Felt<S> {
    fn now(&self) -> u64 {
        self.env.monotonic().as_micros().max(ANSWERED + 1)
    }

    /// Tells by an attempt to write whether there is life.
    fn tried(&mut self, taken: Poll<usize>) {
        let Poll::Ready(taken) = taken else {
            self.is_full = true;
            return;
        };
        self.taken += taken;
        let lives = std::mem::take(&mut self.is_full) || self.taken >= MUCH;
        if lives {
            self.taken = 0;
        }
        if lives || (taken > 0 && self.pulse.missing().is_none()) {
            self.pulse.0.store(self.now(), Ordering::Release);
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
            self.taken = 0;
            self.pulse.0.store(ANSWERED, Ordering::Release);
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

    /// A connection with so much room, over which a byte was written a second ago.
    struct Asked {
        ours: Felt<DuplexStream>,
        theirs: DuplexStream,
        pulse: Pulse,
        since: Tick,
        env: Arc<ManualEnv>,
    }

    impl Asked {
        async fn with_room(room: usize) -> Self {
            let tasks = Arc::new(TokioEnv::current());
            let manual = Arc::new(ManualEnv::new(tasks, Timestamp::default(), 1));
            let env: Arc<dyn Env> = Arc::<ManualEnv>::clone(&manual);
            let (ours, theirs) = duplex(room);
            let (pulse, mut ours) = Pulse::of(ours, &env);
            assert_eq!(pulse.missing(), None);
            manual.advance(Duration::from_secs(1));
            ours.write_all(&[0]).await.unwrap();
            let since = manual.monotonic();
            assert_eq!(pulse.missing(), Some(since));
            manual.advance(Duration::from_secs(1));
            Self {
                ours,
                theirs,
                pulse,
                since,
                env: manual,
            }
        }
    }

    #[tokio::test]
    async fn a_little_that_is_written_is_no_sign_of_life() {
        let mut asked = Asked::with_room(MUCH).await;
        asked.ours.write_all(&[0; 1_024]).await.unwrap();
        asked.ours.flush().await.unwrap();
        assert_eq!(asked.pulse.missing(), Some(asked.since));
    }

    #[tokio::test]
    async fn room_where_there_was_none_is_a_sign_of_life() {
        let mut asked = Asked::with_room(16).await;
        asked.ours.write_all(&[0; 15]).await.unwrap();
        let mut more = std::pin::pin!(asked.ours.write_all(&[0]));
        assert!(poll!(&mut more).is_pending());
        assert_eq!(asked.pulse.missing(), Some(asked.since));
        asked.theirs.read_exact(&mut [0; 16]).await.unwrap();
        more.await.unwrap();
        assert_eq!(asked.pulse.missing(), Some(asked.env.monotonic()));
    }

    #[tokio::test]
    async fn much_that_is_written_is_a_sign_of_life() {
        let mut asked = Asked::with_room(2 * MUCH).await;
        asked.ours.write_all(&vec![0; MUCH]).await.unwrap();
        assert_eq!(asked.pulse.missing(), Some(asked.env.monotonic()));
    }

    #[tokio::test]
    async fn after_bytes_have_come_no_sign_is_missing_until_more_is_written() {
        let mut asked = Asked::with_room(16).await;
        asked.theirs.write_all(&[0]).await.unwrap();
        asked.ours.read_exact(&mut [0]).await.unwrap();
        assert_eq!(asked.pulse.missing(), None);
        asked.ours.write_all(&[0]).await.unwrap();
        assert_eq!(asked.pulse.missing(), Some(asked.env.monotonic()));
    }
}
