//! The program: reads the command line, runs it, exits with its code.

use std::process::ExitCode;

#[tokio::main]
#[allow(clippy::print_stderr, reason = "a program may speak to its user")]
async fn main() -> ExitCode {
    cosell_sync::telemetry::start_logging(false, "warn");
    use clap::Parser;
    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        demo: cosell_sync::cli::demo::Demo,
    }
    match Cli::parse().demo.run(&mut std::io::stdout()).await {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(1)
        }
    }
}
