//! The emulator as npm `salesforce-pubsub-api-client` sees it, which carries the service's published
//! definition and decodes the bit maps. It is installed below the target folder on first use.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use cosell_sync::connect::salesforce::sandbox::{SalesforceSandbox, SandboxOptions};
use cosell_sync::connect::sandbox::SandboxClock;
use serde_json::json;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/third_party/salesforce_pubsub");

/// Runs a program to its end and returns what it printed; the test fails with all of it.
async fn run(mut command: Command) -> String {
    let output = tokio::task::spawn_blocking(move || command.output()).await;
    let output = output.expect("a task").expect("a program");
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{printed}\n{complaint}", output.status);
    printed
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_others_wrote_reads_the_events() {
    let sandbox = SalesforceSandbox::new(SandboxOptions::default(), SandboxClock::running());
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let serving = sandbox.serve_pubsub(anywhere, true).await.expect("a port");
    let deal = json!({
        "Name": "Contoso rollout", "StageName": "Prospecting", "CloseDate": "2026-12-31",
        "Description": "to be emptied",
    });
    let id = sandbox.create_as_person("Opportunity", &deal).expect("an opportunity");
    for edit in [json!({ "Amount": 4200 }), json!({ "Description": null })] {
        sandbox.edit_as_person("Opportunity", &id, &edit).expect("an edit");
    }
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("salesforce-pubsub");
    std::fs::create_dir_all(&folder).expect("a folder");
    for file in ["package.json", "proof.js"] {
        std::fs::copy(Path::new(SOURCE).join(file), folder.join(file)).expect("a copy");
    }
    let mut install = Command::new("npm");
    let quiet = ["install", "--no-audit", "--no-fund", "--no-package-lock", "--prefer-offline"];
    install.args(quiet).current_dir(&folder);
    run(install).await;
    let mut proof = Command::new("node");
    let endpoint = serving.url().trim_start_matches("https://").to_owned();
    proof.args(["proof.js", &endpoint, &sandbox.log_in(), &id]).current_dir(&folder);
    let printed = run(proof).await;
    let proven = printed.lines().filter(|line| line.starts_with("proven: ")).count();
    assert_eq!(proven, 8, "{printed}");
}
