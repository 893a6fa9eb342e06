//! What the handle of a proxy and its connections share: the faults at present, the door, the counters.

use std::future::poll_fn;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener as Unregistered};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};

use bananas_core::{Env, Tick};
use bytes::Bytes;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;

use super::pattern::{Pattern, Search};
use super::toxic::{Direction, Portion, Sent, Toxic};

/// What a proxy has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted.
    pub accepted: u64,
    /// Connections open now.
    pub open: u64,
    /// Bytes passed on to the server.
    pub to_server: u64,
    /// Bytes passed on to clients.
    pub to_client: u64,
    /// How often a fault hit: a connection cut, bytes swallowed, a reply lost, a bit flipped, bytes repeated.
    pub faults: u64,
}

/// Where new connections come from.
enum Door {
    Shut,
    /// Open, and not yet known to the runtime of the task that accepts.
    Unregistered(Unregistered),
    Open(TcpListener),
}

pub(super) struct Control {
    pub(super) env: Arc<dyn Env>,
    pub(super) server: SocketAddr,
    /// Bound and never listening: it keeps the port ours while the door is shut.
    placeholder: TcpSocket,
    state: Mutex<State>,
    changed: watch::Sender<()>,
}

pub(super) struct State {
    door: Door,
    accepting: Option<Waker>,
    /// How often everything was cut: a connection from before the latest cut has to go.
    pub(super) cuts: u64,
    /// How often everything was stranded: a connection from before the latest time stays silent.
    pub(super) strandings: u64,
    /// How often everything was healed.
    pub(super) heals: u64,
    pub(super) ended: bool,
    pub(super) to_server: Toxic,
    pub(super) to_client: Toxic,
    pub(super) losing: Option<Pattern>,
    pub(super) losses: u64,
    pub(super) counts: Counts,
}

/// What had happened to all connections when one was accepted.
#[derive(Clone, Copy, Debug)]
pub(super) struct Birth {
    cuts: u64,
    strandings: u64,
}

impl State {
    /// Whether everything was cut since.
    pub(super) fn is_cut(&self, birth: Birth) -> bool {
        self.cuts > birth.cuts
    }

    /// Whether everything was stranded since.
    pub(super) fn is_stranded(&self, birth: Birth) -> bool {
        self.strandings > birth.strandings
    }

    /// Whether what goes this way disappears.
    pub(super) fn swallows(&mut self, direction: Direction, birth: Birth) -> bool {
        self.is_stranded(birth) || self.toxic(direction).swallows
    }

    pub(super) fn toxic(&mut self, direction: Direction) -> &mut Toxic {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }
}

impl Control {
    pub(super) fn new(env: Arc<dyn Env>, server: SocketAddr) -> io::Result<Self> {
        let placeholder = TcpSocket::new_v4()?;
        placeholder.set_reuseaddr(true)?;
        placeholder.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        let state = Mutex::new(State {
            door: Door::Shut,
            accepting: None,
            cuts: 0,
            strandings: 0,
            heals: 0,
            ended: false,
            to_server: Toxic::default(),
            to_client: Toxic::default(),
            losing: None,
            losses: 0,
            counts: Counts::default(),
        });
        let changed = watch::Sender::new(());
        Ok(Self {
            env,
            server,
            placeholder,
            state,
            changed,
        })
    }

    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.placeholder.local_addr()
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Changes the faults, and tells every connection.
    pub(super) fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.changed.send_replace(());
    }

    pub(super) fn watch(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Waits until the state gives an answer.
    pub(super) async fn until<T>(&self, mut answer: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut changed = self.watch();
        loop {
            if let Some(answer) = answer(&mut self.state()) {
                return answer;
            }
            // It cannot fail: the sender lives as long as `self`.
            changed.changed().await.ok();
        }
    }

    /// Listens, if it does not yet. The system takes new connections from when this returns.
    pub(super) fn open(&self) -> io::Result<()> {
        let mut state = self.state();
        if matches!(state.door, Door::Shut) {
            let listener = Unregistered::bind(self.address()?)?;
            listener.set_nonblocking(true)?;
            state.door = Door::Unregistered(listener);
            if let Some(accepting) = state.accepting.take() {
                accepting.wake();
            }
        }
        Ok(())
    }

    /// Stops to listen: the system refuses new connections from when this returns.
    pub(super) fn shut(&self) {
        self.state().door = Door::Shut;
    }

    /// The next connection, and what had happened to all when it came.
    pub(super) async fn accepted(&self) -> io::Result<(TcpStream, Birth)> {
        poll_fn(|cx| self.poll_accepted(cx)).await
    }

    /// Accepting and counting are one step under the lock, so that a cut hits all that was accepted before it.
    fn poll_accepted(&self, cx: &mut Context<'_>) -> Poll<io::Result<(TcpStream, Birth)>> {
        let mut state = self.state();
        state.accepting = Some(cx.waker().clone());
        if let Door::Unregistered(listener) = &state.door {
            state.door = Door::Open(TcpListener::from_std(listener.try_clone()?)?);
        }
        let Door::Open(listener) = &state.door else {
            return Poll::Pending;
        };
        let Poll::Ready(accepted) = listener.poll_accept(cx)? else {
            return Poll::Pending;
        };
        state.counts.accepted += 1;
        state.counts.open += 1;
        let birth = Birth {
            cuts: state.cuts,
            strandings: state.strandings,
        };
        Poll::Ready(Ok((accepted.0, birth)))
    }

    pub(super) fn ready_at(
        &self,
        direction: Direction,
        (arrived, luck): (Tick, u64),
        sent: Sent,
    ) -> Tick {
        self.state().toxic(direction).ready_at(arrived, luck, sent)
    }

    /// Takes what goes next from `waiting`, for a connection of this birth.
    pub(super) fn take(&self, direction: Direction, birth: Birth, waiting: &mut Bytes) -> Portion {
        let mut state = self.state();
        if state.is_stranded(birth) {
            state.counts.faults += 1;
            waiting.clear();
            return Portion::Swallowed;
        }
        if state.is_cut(birth) || state.ended {
            waiting.clear();
            return Portion::Swallowed;
        }
        let (portion, faults) = state.toxic(direction).take(waiting);
        state.counts.faults += faults;
        portion
    }

    /// Whether the reply to a request with these bytes is to be lost. One request of all is told so.
    pub(super) fn loses_reply(&self, search: &mut Search, bytes: &[u8]) -> bool {
        let mut state = self.state();
        let found = |pattern: &Pattern| search.finds(pattern, bytes);
        let found = state.losing.as_ref().is_some_and(found);
        if found {
            state.losing = None;
        }
        found
    }

    pub(super) fn carried(&self, direction: Direction, bytes: usize) {
        let counts = &mut self.state().counts;
        match direction {
            Direction::ToServer => counts.to_server += bytes as u64,
            Direction::ToClient => counts.to_client += bytes as u64,
        }
    }
}
