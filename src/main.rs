//! The program: reads the command line, runs it, exits with its code.

use std::process::ExitCode;

#[tokio::main]
async fn main() -> ExitCode {
    cosell_sync::telemetry::start_logging(false, "warn");
    use clap::Parser;
    #[derive(Parser)]
    enum Cli {
        Demo(cosell_sync::cli::demo::Demo),
        Run {
            #[arg(long)]
            config: std::path::PathBuf,
        },
    }
    match Cli::parse() {
        Cli::Demo(demo) => match demo.run(&mut std::io::stdout()).await {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                eprintln!("{error}");
                ExitCode::from(1)
            }
        },
        Cli::Run { config } => {
            let c = cosell_sync::config::Config::load(&config, std::env::vars()).unwrap();
            let app = cosell_sync::app::App::start(&c).await.unwrap_or_else(|e| panic!("{e}"));
            app.failed().await;
            ExitCode::from(1)
        }
    }
}
