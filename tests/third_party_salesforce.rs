//! The Salesforce emulator as two clients see it that others wrote: npm `jsforce` and PyPI
//! `simple-salesforce`. Both are installed below the target folder on first use, so these tests
//! need `node`, `npm`, `python3` and the package registries.
#![cfg(feature = "sandbox")]
#![allow(clippy::unwrap_used, reason = "a test stops at the first surprise")]

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use cosell_sync::connect::salesforce::sandbox::{SalesforceSandbox, SandboxOptions};
use cosell_sync::connect::sandbox::{SandboxClock, Serving, serve};
use serde_json::json;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/third_party");
const FIXTURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/salesforce");

/// An emulator with one opportunity that was changed, and one that was deleted, a minute ago.
async fn site() -> (SalesforceSandbox, Serving, [String; 2]) {
    let pem = std::fs::read_to_string(format!("{FIXTURES}/signing-certificate.pem")).unwrap();
    let options = SandboxOptions { public_key_pem: Some(pem), page_size: 3, ..Default::default() };
    let clock = SandboxClock::running();
    let sandbox = SalesforceSandbox::new(options, clock.clone());
    let deal = json!({ "Name": "Old", "StageName": "Prospecting", "CloseDate": "2026-12-31" });
    let [kept, gone] = [(); 2].map(|()| sandbox.create_as_person("Opportunity", &deal).unwrap());
    sandbox.delete_as_person("Opportunity", &gone).unwrap();
    clock.advance(Duration::from_secs(61));
    let anywhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let serving = serve(sandbox.router(), anywhere).await.unwrap();
    (sandbox, serving, [kept, gone])
}

/// A copy of the folder `name` below the target folder, where packages may be installed.
fn workshop(name: &str, files: &[&str]) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("salesforce-{name}"));
    std::fs::create_dir_all(&folder).unwrap();
    for file in files {
        std::fs::copy(format!("{SOURCE}/{name}/{file}"), folder.join(file)).unwrap();
    }
    folder
}

/// Runs a program to its end and returns what it printed; the test fails with all of it.
async fn run(mut command: Command) -> String {
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{printed}\n{complaint}", output.status);
    printed
}

fn proven(printed: &str) -> usize {
    printed.lines().filter(|line| line.starts_with("proven: ")).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn jsforce_works_against_the_emulator() {
    let (sandbox, serving, [kept, gone]) = site().await;
    let folder = workshop("jsforce", &["package.json", "proof.js"]);
    let mut install = Command::new("npm");
    let quiet = ["install", "--no-audit", "--no-fund", "--no-package-lock", "--prefer-offline"];
    install.args(quiet).current_dir(&folder);
    run(install).await;
    let mut proof = Command::new("node");
    let key = format!("{FIXTURES}/signing-key.pem");
    proof.args(["proof.js", &serving.url(), &key, &kept, &gone]).current_dir(&folder);
    assert_eq!(proven(&run(proof).await), 8);
    let log = sandbox.request_log();
    assert!(log.api_calls > 20 && log.writes > 20, "{} {}", log.api_calls, log.writes);
    let missing: Vec<_> = log.requests.iter().filter(|one| one.status == 501).collect();
    assert!(missing.is_empty(), "asked for what is not emulated: {missing:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn simple_salesforce_works_against_the_emulator() {
    let (sandbox, serving, [kept, gone]) = site().await;
    sandbox.add_external_id_field("Opportunity", "Ambiguous__c", false);
    let folder = workshop("simple_salesforce", &["requirements.txt", "proof.py"]);
    let python = folder.join("venv/bin/python");
    if !python.exists() {
        let mut venv = Command::new("python3");
        venv.args(["-m", "venv", "venv"]).current_dir(&folder);
        run(venv).await;
    }
    let mut install = Command::new(&python);
    let quiet = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    install.args(quiet).args(["-r", "requirements.txt"]).current_dir(&folder);
    run(install).await;
    let mut proof = Command::new(&python);
    let host = serving.address().to_string();
    let key = format!("{FIXTURES}/signing-key.pem");
    proof.args(["proof.py", &host, &sandbox.log_in(), &key, &kept, &gone]).current_dir(&folder);
    assert_eq!(proven(&run(proof).await), 10);
}
