//! Collects what is found.

use std::time::Duration;

use crate::admin::operations::{Finding, Level};
use crate::connect::crm::Remark;
use crate::connect::error::ConnectError;
use crate::domain::id::AccountName;
use crate::domain::time::Timestamp;

/// A clock that differs by more is a problem: signatures and tokens are refused.
const SKEW_PROBLEM: Duration = Duration::from_secs(300);
/// A clock that differs by more is worth a look.
const SKEW_ADVICE: Duration = Duration::from_secs(30);

/// Collects findings of one area.
pub(super) struct Notes<'a> {
    pub(super) account: Option<&'a AccountName>,
    pub(super) area: &'static str,
    pub(super) found: Vec<Finding>,
}

impl Notes<'_> {
    fn add(&mut self, level: Level, what: impl Into<String>, fix: Option<&str>) {
        self.found.push(Finding {
            account: self.account.cloned(),
            area: self.area.to_owned(),
            level,
            what: what.into(),
            fix: fix.map(str::to_owned),
        });
    }

    pub(super) fn ok(&mut self, what: impl Into<String>) {
        self.add(Level::Ok, what, None);
    }

    pub(super) fn advice(&mut self, what: impl Into<String>, fix: &str) {
        self.add(Level::Advice, what, Some(fix));
    }

    pub(super) fn problem(&mut self, what: impl Into<String>, fix: &str) {
        self.add(Level::Problem, what, Some(fix));
    }

    /// What a CRM says of itself; once, where two mappings ask the same.
    pub(super) fn remark(&mut self, remark: Remark) {
        if self.found.iter().any(|known| known.what == remark.what) {
            return;
        }
        match remark.fix {
            None => self.ok(remark.what),
            Some(fix) if remark.serious => self.problem(remark.what, &fix),
            Some(fix) => self.advice(remark.what, &fix),
        }
    }

    pub(super) fn clock(&mut self, now: Timestamp, theirs: Option<Timestamp>) {
        let Some(theirs) = theirs else { return };
        let skew = now.since(theirs).max(theirs.since(now));
        let fix = "Let the clock of this machine follow a time server (chrony, systemd-timesyncd).";
        if skew > SKEW_PROBLEM {
            self.problem(format!("Our clock differs by {} s.", skew.as_secs()), fix);
        } else if skew > SKEW_ADVICE {
            self.advice(format!("Our clock differs by {} s.", skew.as_secs()), fix);
        } else {
            self.ok("The clocks agree.");
        }
    }

    pub(super) fn fault(&mut self, fault: &ConnectError, sign_in: &str) {
        match fault {
            ConnectError::Unauthorized(why) => {
                self.problem(format!("The credentials are refused: {why}."), sign_in);
            }
            ConnectError::Throttled(wait) => self.advice(
                format!("No call is allowed for {} s.", wait.as_secs()),
                "Wait, then ask again.",
            ),
            other => self.problem(
                format!("It cannot be asked: {}.", other.to_string().trim_end_matches('.')),
                "Check address, firewall and proxy, and the system's own status page.",
            ),
        }
    }
}
