//! The API quota of a rolling 24 hours, and the log of requests.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::time::Timestamp;

const WINDOW: Duration = Duration::from_secs(24 * 3600);

/// One request that arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoggedRequest {
    /// HTTP method.
    pub method: String,
    /// Path and query, as sent.
    pub path: String,
    /// HTTP status of the answer; 200 where a fault closed the connection without one.
    pub status: u16,
}

/// What clients have done so far.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RequestLog {
    /// Calls that counted against the quota.
    pub api_calls: usize,
    /// Rows and queries read by clients, those inside composite calls included.
    pub reads: usize,
    /// Rows written by clients, those inside composite calls included, even if undone with them.
    pub writes: usize,
    /// Every request, oldest first.
    pub requests: Vec<LoggedRequest>,
}

/// Counts calls.
#[derive(Debug)]
pub(crate) struct Usage {
    quota: usize,
    calls: VecDeque<Timestamp>,
    pub(crate) log: RequestLog,
}

impl Usage {
    pub(crate) fn new(quota: usize) -> Self {
        Self { quota, calls: VecDeque::new(), log: RequestLog::default() }
    }

    pub(crate) fn set_quota(&mut self, quota: usize) {
        self.quota = quota;
    }

    /// Counts `count` calls at `now`; false if the quota is spent.
    pub(crate) fn take(&mut self, count: usize, now: Timestamp) -> bool {
        self.forget_old(now);
        if self.calls.len() >= self.quota {
            return false;
        }
        self.calls.extend(std::iter::repeat_n(now, count));
        self.log.api_calls += count;
        true
    }

    /// Notes calls of somebody else, which count against the same quota.
    pub(crate) fn spend(&mut self, count: usize, now: Timestamp) {
        self.calls.extend(std::iter::repeat_n(now, count));
    }

    /// Calls used and allowed.
    pub(crate) fn state(&mut self, now: Timestamp) -> (usize, usize) {
        self.forget_old(now);
        (self.calls.len(), self.quota)
    }

    fn forget_old(&mut self, now: Timestamp) {
        while self.calls.front().is_some_and(|at| now.since(*at) >= WINDOW) {
            self.calls.pop_front();
        }
    }
}
