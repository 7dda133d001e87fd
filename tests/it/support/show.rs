//! Everything that helps to see why a condition did not come.

use std::fmt::Write;

use super::World;

impl World {
    /// Ledger, inbox, dead letters, feeds, the newest of the trail and every row.
    pub(crate) async fn show(&self) -> String {
        let mut out = String::new();
        if self.app.is_some() {
            self.show_daemon(&mut out).await;
        }
        for referral in self.sandbox.partner_center.referrals() {
            let _ = writeln!(out, "referral {referral}");
        }
        for table in ["opportunity", "lead"] {
            for row in self.sandbox.dynamics365.rows(table) {
                let _ = writeln!(out, "dynamics365 {table} {row}");
            }
        }
        for table in ["Opportunity", "Lead"] {
            for row in self.sandbox.salesforce.rows(table) {
                let _ = writeln!(out, "salesforce {table} {row}");
            }
        }
        out
    }

    async fn show_daemon(&self, out: &mut String) {
        for line in self.store().ledger().await.unwrap_or_default() {
            let _ = writeln!(out, "{line:?}");
        }
        for notice in self.store().waiting(20).await.unwrap_or_default() {
            let _ = writeln!(out, "waiting {notice:?}");
        }
        for letter in self.letters().await {
            let _ = writeln!(out, "held {} {:?}", letter.hold.reason, letter.hold.evidence);
        }
        for poller in &self.app().pollers {
            let _ = writeln!(out, "feed {} {:?}", poller.feed().name(), poller.health());
        }
        for entry in self.trail(None).await.iter().take(40).rev() {
            let _ = writeln!(
                out,
                "{} {:?} {} {}",
                entry.entry.at, entry.entry.kind, entry.entry.actor, entry.entry.summary
            );
        }
    }
}
