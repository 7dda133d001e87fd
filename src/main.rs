//! The program: reads the command line, runs it, exits with its code.

use std::process::ExitCode;

use clap::Parser;
use cosell_sync::cli::Cli;

fn main() -> ExitCode {
    let cli = Cli::parse();
    // Fails only if a provider was installed already, which is then the one to use.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(cli.run()),
        Err(error) => {
            tracing::error!("The runtime cannot be started: {error}");
            ExitCode::FAILURE
        }
    }
}
