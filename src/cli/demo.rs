//! `demo`: the sandbox and the daemon in one process, and a short story told as it happens.
#![allow(clippy::disallowed_methods, reason = "a story for people, told in real time")]

use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use tokio::time::Instant;

use crate::app::{self, App, InProcess, Parts};
use crate::config::Config;
use crate::connect::partner_center::slot::{self, SlotPlan};
use crate::sandbox::story::{self, Agreed, Memory};
use crate::sandbox::{Addresses, Sandbox};

/// A step that has not come to its end within this time has failed.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the systems are looked at.
const GLANCE: Duration = Duration::from_millis(20);

/// Play a short story on emulators of all three systems, with the real daemon between them.
#[derive(Debug, Args)]
pub struct Demo {
    /// End with the story instead of waiting for Ctrl-C; the exit code is 0 only if all of it held.
    #[arg(long)]
    exit: bool,
}

impl Demo {
    /// Plays the story and writes it to `out`; the exit code.
    ///
    /// # Errors
    ///
    /// A sentence if a part cannot be started or `out` cannot be written.
    pub async fn run(&self, out: &mut (dyn Write + Send)) -> Result<u8, String> {
        let folder =
            tempfile::tempdir().map_err(|error| format!("no temporary folder: {error}"))?;
        let sandbox = Sandbox::start(Addresses::free()).await.map_err(|error| error.to_string())?;
        // Real ports: the daemon compares the registration with the address it is configured with.
        let [public, admin] = free_addresses().map_err(|error| format!("no free port: {error}"))?;
        sandbox.write_files(folder.path(), public, admin).map_err(|error| error.to_string())?;
        let file = folder.path().join("cosell-sync.toml");
        let config = Config::load(&file, std::iter::empty()).map_err(|error| error.to_string())?;
        register(&sandbox, &config)?;
        let store = app::open_store(&config).await.map_err(|error| error.to_string())?;
        let around = app::surroundings(store);
        let parts = Parts::build(&config, around.clone(), false).await;
        provision(&Arc::new(parts.map_err(|error| error.to_string())?)).await?;
        let app = App::start_with(&config, around).await.map_err(|error| error.to_string())?;
        let _webhooks_of_dynamics = sandbox.dynamics365.deliver_in_background();
        let sandbox = Arc::new(sandbox);
        let held = self.tell(out, &sandbox, &app).await?;
        if !self.exit {
            line(out, "Everything is left running. Press Ctrl-C to end.")?;
            let _ = tokio::signal::ctrl_c().await;
        }
        app.stop().await;
        Ok(u8::from(!held))
    }

    async fn tell(
        &self,
        out: &mut (dyn Write + Send),
        sandbox: &Sandbox,
        app: &App,
    ) -> Result<bool, String> {
        let [partner_center, dynamics, salesforce] = sandbox.urls();
        line(
            out,
            "cosell-sync demo: three emulated systems, one real daemon, real sled on a real disk.\n",
        )?;
        line(out, &format!("Partner Center   {partner_center}"))?;
        line(out, &format!("Dynamics 365     {dynamics}"))?;
        line(out, &format!("Salesforce       {salesforce}"))?;
        line(out, &format!("Webhooks         http://{}", app.public_address))?;
        line(out, &format!("Admin            http://{}", app.admin_address))?;
        // Without an answer the story begins all the same, and says where it stops.
        let _ = tokio::time::timeout(PATIENCE, app.ready()).await;
        let mut memory = Memory::default();
        for (number, step) in story::steps().iter().enumerate() {
            line(out, &format!("\n{}. {}", number + 1, step.title))?;
            let started = Instant::now();
            for sentence in (step.act)(sandbox, &mut memory)? {
                line(out, &format!("   {sentence}"))?;
            }
            let Some(seen) = wait(sandbox, &memory, step.agreed).await else {
                line(out, &format!("   NOT IN STEP after {} s", PATIENCE.as_secs()))?;
                self.ledger(out, app).await?;
                return Ok(false);
            };
            for sentence in seen {
                line(out, &format!("   {sentence}"))?;
            }
            line(out, &format!("   in step after {:.1} s", started.elapsed().as_secs_f64()))?;
        }
        let balanced = self.ledger(out, app).await?;
        let quiet = silence(sandbox).await;
        let word = if quiet {
            "Echo silence: no system was written to afterwards."
        } else {
            "NOT SILENT: a system was written to afterwards."
        };
        line(out, word)?;
        Ok(balanced && quiet)
    }

    /// Prints the ledger; whether it balances and nothing is held.
    async fn ledger(&self, out: &mut (dyn Write + Send), app: &App) -> Result<bool, String> {
        let patience = Instant::now() + PATIENCE;
        let lines = loop {
            let lines = app.around.store.ledger().await.map_err(|error| error.to_string())?;
            let now = crate::domain::clock::Clock::now(&crate::app::clock::SystemClock);
            let waiting =
                app.around.store.waiting(1000).await.map_err(|error| error.to_string())?;
            let later = waiting.iter().all(|notice| notice.notice.due > now);
            if later || Instant::now() > patience {
                break lines;
            }
            tokio::time::sleep(GLANCE).await;
        };
        line(out, "\nLedger: accepted = done + waiting + held")?;
        line(
            out,
            &format!("{:<24}{:>9}{:>9}{:>9}{:>9}", "source", "accepted", "done", "waiting", "held"),
        )?;
        let mut good = true;
        for entry in &lines {
            let done = entry.applied + entry.superseded + entry.ignored;
            let source = entry.source.as_str();
            line(
                out,
                &format!(
                    "{source:<24}{:>9}{done:>9}{:>9}{:>9}",
                    entry.accepted, entry.waiting, entry.held
                ),
            )?;
            good &= entry.balances() && entry.held == 0;
        }
        for letter in
            app.around.store.dead_letters(None, 10).await.map_err(|error| error.to_string())?
        {
            line(out, &format!("held: {}", letter.hold.reason))?;
            line(out, &format!("      {}", letter.hold.fix))?;
        }
        line(
            out,
            if good { "It balances." } else { "IT DOES NOT BALANCE, or something is held." },
        )?;
        let audit = app.around.store.verify_audit().await.map_err(|error| error.to_string())?;
        line(
            out,
            &format!(
                "Audit trail: {} entries, the chain is {}.",
                audit.entries,
                if audit.broken_at.is_none() { "unbroken" } else { "BROKEN" }
            ),
        )?;
        Ok(good && audit.broken_at.is_none())
    }
}

/// Two free addresses on loopback: both are held until both are known.
fn free_addresses() -> std::io::Result<[SocketAddr; 2]> {
    let bind = || std::net::TcpListener::bind((std::net::Ipv4Addr::LOCALHOST, 0));
    let (first, second) = (bind()?, bind()?);
    Ok([first.local_addr()?, second.local_addr()?])
}

/// Puts the daemon's address into the one webhook slot of the tenant, before the daemon looks at it.
fn register(sandbox: &Sandbox, config: &Config) -> Result<(), String> {
    for account in config.accounts.keys() {
        let url = format!("http://{}/webhooks/partner-center/{account}", config.server.listen);
        if let SlotPlan::Register(slot) = slot::plan(None, &url, false) {
            let registration = serde_json::json!({
                "WebhookUrl": slot.url,
                "WebhookEvents": slot.events,
                "SignatureTokenToMsSignatureHeader": slot.signature_in_ms_header,
            });
            let taken = sandbox.partner_center.set_slot(&registration);
            taken.map_err(|error| error.to_string())?;
        }
    }
    Ok(())
}

/// Makes what the CRMs lack, as `provision --apply` does before the daemon is started: Dynamics 365
/// learns where its webhooks go.
async fn provision(parts: &Arc<Parts>) -> Result<(), String> {
    let body = serde_json::json!({ "apply": true });
    match InProcess::new(parts).ask("POST", "provision", Some(&body)).await? {
        (200, _) => Ok(()),
        (status, text) => Err(format!("provision: {status} {}", String::from_utf8_lossy(&text))),
    }
}

async fn wait(sandbox: &Sandbox, memory: &Memory, agreed: Agreed) -> Option<Vec<String>> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(seen) = agreed(sandbox, memory) {
            return Some(seen);
        }
        tokio::time::sleep(GLANCE).await;
    }
    None
}

/// Whether no system is written to for a while once everything is in step.
async fn silence(sandbox: &Sandbox) -> bool {
    let writes = || {
        (
            sandbox.partner_center.write_count(),
            sandbox.dynamics365.write_count(),
            sandbox.salesforce.request_log().writes,
        )
    };
    let mut last = writes();
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(1200)).await;
        let now = writes();
        if now == last {
            return true;
        }
        last = now;
    }
    false
}

fn line(out: &mut (dyn Write + Send), text: &str) -> Result<(), String> {
    writeln!(out, "{text}").map_err(|error| format!("the output cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::{Addresses, Config, Sandbox, SlotPlan, free_addresses, register, slot};

    #[tokio::test]
    async fn the_slot_holds_the_configured_address_before_the_daemon_starts() {
        let folder = tempfile::tempdir().expect("a folder");
        let sandbox = Sandbox::start(Addresses::free()).await.expect("it starts");
        let [public, admin] = free_addresses().expect("free ports");
        assert!(public.port() != 0 && admin.port() != 0 && public != admin);
        sandbox.write_files(folder.path(), public, admin).expect("written");
        let file = folder.path().join("cosell-sync.toml");
        let config = Config::load(&file, std::iter::empty()).expect("good");
        register(&sandbox, &config).expect("registered");
        let public_url = config.server.public_url.as_ref().expect("an address");
        let wanted = format!("{public_url}webhooks/partner-center/contoso");
        let held = sandbox.partner_center.slot().expect("a registration");
        let text = held.to_string();
        assert!(text.contains(&wanted), "{text}");
        let SlotPlan::Register(complete) = slot::plan(None, &wanted, false) else { panic!() };
        assert!(complete.events.iter().all(|event| text.contains(event)), "{text}");
    }
}
