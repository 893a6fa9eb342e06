//! A bounded queue of requests from async callers to one thread.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Poll, Waker};

/// How many requests may wait; further callers wait for room.
const ROOM: usize = 1_024;

/// A bounded queue of requests.
#[derive(Debug)]
pub(crate) struct Lane<T> {
    state: Mutex<State<T>>,
    filled: Condvar,
}

#[derive(Debug)]
struct State<T> {
    items: VecDeque<T>,
    /// Callers that wait for room, as their tasks.
    waiting: Vec<Waker>,
    closed: bool,
}

/// The lane was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LaneClosed;

impl<T> Lane<T> {
    pub(crate) fn new() -> Self {
        Self {
            state: Mutex::new(State {
                items: VecDeque::new(),
                waiting: Vec::new(),
                closed: false,
            }),
            filled: Condvar::new(),
        }
    }

    /// Adds a request, once there is room. If the future is dropped before, so is the request.
    pub(crate) async fn push(&self, item: T) -> Result<(), LaneClosed>
    where
        T: Send,
    {
        let mut item = Some(item);
        poll_fn(move |cx| {
            let mut state = self.lock();
            if state.closed {
                return Poll::Ready(Err(LaneClosed));
            }
            if state.items.len() >= ROOM {
                state.waiting.push(cx.waker().clone());
                return Poll::Pending;
            }
            state.items.extend(item.take());
            drop(state);
            self.filled.notify_one();
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Adds a request even where there is no room: for the few that must not wait.
    pub(crate) fn push_now(&self, item: T) -> Result<(), LaneClosed> {
        let mut state = self.lock();
        if state.closed {
            return Err(LaneClosed);
        }
        state.items.push_back(item);
        drop(state);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for requests and takes all; none when the lane is closed and empty.
    pub(crate) fn drain(&self) -> VecDeque<T> {
        let mut state = self.lock();
        while state.items.is_empty() && !state.closed {
            state = self
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let items = std::mem::take(&mut state.items);
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        items
    }

    /// Waits for one request; none when the lane is closed and empty.
    pub(crate) fn pop(&self) -> Option<T> {
        let mut state = self.lock();
        while state.items.is_empty() && !state.closed {
            state = self
                .filled
                .wait(state)
                .unwrap_or_else(PoisonError::into_inner);
        }
        let item = state.items.pop_front();
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        item
    }

    /// Refuses further requests; those inside are still served.
    pub(crate) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        let waiting = std::mem::take(&mut state.waiting);
        drop(state);
        waiting.into_iter().for_each(Waker::wake);
        self.filled.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Closes a lane when its thread ends, however it ends, so that nobody waits for a thread that is gone.
#[derive(Debug)]
pub(crate) struct CloseOnExit<'a, T>(pub(crate) &'a Lane<T>);

impl<T> Drop for CloseOnExit<'_, T> {
    fn drop(&mut self) {
        self.0.close();
        self.0.lock().items.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_full_lane_makes_callers_wait_and_a_closed_one_refuses_them() {
        let lane = Lane::new();
        for n in 0..ROOM {
            lane.push(n).await.unwrap();
        }
        let mut waiting = Box::pin(lane.push(ROOM));
        assert!(futures::poll!(&mut waiting).is_pending());
        assert_eq!(lane.drain().len(), ROOM);
        waiting.await.unwrap();
        lane.close();
        assert_eq!(lane.push(0).await, Err(LaneClosed));
        assert_eq!(lane.pop(), Some(ROOM), "what is inside is still served");
        assert_eq!(lane.pop(), None);
    }
}
