//! `sandbox`: the three emulators alone, with a control interface and a configuration to try.

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::listen::{self, Bounds};
use crate::sandbox::{Addresses, Sandbox, control};

/// Serve emulators of all three systems on this machine, to try mappings before going live.
#[derive(Debug, Args)]
#[command(after_long_help = concat!("The control interface:\n\n", include_str!("../sandbox/control/guide.txt")))]
pub(super) struct SandboxCommand {
    /// Where a configuration, its secrets and the shipped mapping files are written.
    #[arg(long, value_name = "DIR", default_value = "sandbox")]
    folder: PathBuf,
    /// Where Partner Center is emulated.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9181")]
    partner_center: SocketAddr,
    /// Where Dynamics 365 is emulated.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9182")]
    dynamics365: SocketAddr,
    /// Where Salesforce is emulated.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9183")]
    salesforce: SocketAddr,
    /// Where the control interface listens.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9180")]
    control: SocketAddr,
}

/// Calls of the emulated Salesforce in 24 hours: as a large organisation has.
const DAILY_CALLS: usize = 1_000_000;

/// Why an address cannot be listened on, and the way out.
fn taken(kind: ErrorKind, what: &str) -> String {
    if kind != ErrorKind::AddrInUse {
        return format!("an address cannot be opened: {what}");
    }
    format!(
        "{what}; perhaps a sandbox runs already, else name other addresses with --control, \
         --partner-center, --dynamics365 and --salesforce"
    )
}

impl SandboxCommand {
    /// Serves until Ctrl-C.
    ///
    /// # Errors
    ///
    /// A sentence if an address is not a loopback address or cannot be opened, or a file cannot be
    /// written.
    pub(super) async fn run(&self, out: &mut (dyn Write + Send)) -> Result<u8, String> {
        let addresses = [self.partner_center, self.dynamics365, self.salesforce, self.control];
        if let Some(open) = addresses.iter().find(|address| !address.ip().is_loopback()) {
            return Err(format!(
                "{open} is open to the network; the emulators are for this machine only"
            ));
        }
        let listener = TcpListener::bind(self.control).await;
        let listener =
            listener.map_err(|error| taken(error.kind(), &format!("{}: {error}", self.control)))?;
        let addresses = Addresses {
            partner_center: self.partner_center,
            dynamics365: self.dynamics365,
            salesforce: self.salesforce,
        };
        // Somebody who tries mappings all day, at a poll each second, shall not run out of calls.
        let sandbox = Sandbox::start_with(addresses, |org| org.daily_quota = DAILY_CALLS).await;
        let sandbox = Arc::new(sandbox.map_err(|error| taken(error.kind(), &error.to_string()))?);
        let control = listener.local_addr().unwrap_or(self.control);
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        sandbox
            .write_files(&self.folder, local(8080), local(8081))
            .map_err(|error| error.to_string())?;
        let _webhooks_of_dynamics = sandbox.dynamics365.deliver_in_background();
        if self.folder.join("store").exists() {
            let store = self.folder.join("store");
            let text = format!(
                "{} remembers an earlier sandbox, whose records are gone: stop its daemon and remove \
                 that folder.\n\n",
                store.display()
            );
            out.write_all(text.as_bytes()).map_err(|error| error.to_string())?;
        }
        let [partner_center, dynamics365, salesforce] = sandbox.urls();
        let file = self.folder.join("cosell-sync.toml");
        let text = format!(
            "Partner Center   {partner_center}\n\
             Dynamics 365     {dynamics365}\n\
             Salesforce       {salesforce}\n\
             Control          http://{control}   (open it for the list of what it can do)\n\n\
             Start the daemon in another terminal:\n  \
             cosell-sync run --config {file}\n  \
             cosell-sync webhook register --config {file}\n  \
             cosell-sync provision --apply --config {file}\n\
             Then let a referral arrive:\n  \
             curl -X POST http://{control}/partner-center/referrals -H 'content-type: application/json' -d '{{}}'\n\n\
             Press Ctrl-C to end. What the emulators hold is gone then.\n",
            file = file.display()
        );
        out.write_all(text.as_bytes()).map_err(|error| error.to_string())?;
        let stop = CancellationToken::new();
        let serving =
            listen::serve(listener, control::router(sandbox), Bounds::default(), stop.clone());
        tokio::select! {
            () = serving => {}
            _ = tokio::signal::ctrl_c() => stop.cancel(),
        }
        Ok(0)
    }
}
