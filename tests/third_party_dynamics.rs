//! Runs the published client `dynamics-web-api` against the Dynamics 365 sandbox: what we emulate
//! must satisfy a client that others wrote.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use cosell_sync::connect::dynamics365::sandbox::{Dynamics365Sandbox, SandboxOptions};
use cosell_sync::connect::sandbox::{SandboxClock, serve};

/// A folder outside the repository with the script and its packages, installed from the lock file.
fn installed() -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/third_party/dynamics-web-api");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dynamics-web-api");
    std::fs::create_dir_all(&folder).expect("the folder can be made");
    let lock = |folder: &Path| std::fs::read(folder.join("package-lock.json")).ok();
    let is_current = lock(&source) == lock(&folder) && folder.join("node_modules").exists();
    for file in ["package.json", "package-lock.json", "script.mjs"] {
        std::fs::copy(source.join(file), folder.join(file)).expect("the file can be copied");
    }
    if !is_current {
        let output = Command::new("npm")
            .args(["ci", "--ignore-scripts", "--no-audit", "--no-fund"])
            .current_dir(&folder)
            .output()
            .expect("npm can be started");
        assert_success("npm ci", &output);
    }
    folder
}

fn assert_success(what: &str, output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{what} failed\n{out}\n{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_published_client_works_with_the_sandbox() {
    let options = SandboxOptions::default();
    let sandbox = Dynamics365Sandbox::new(options.clone(), SandboxClock::running());
    let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let serving = serve(sandbox.router(), listen).await.expect("a port is free");
    let url = serving.url();
    let run = tokio::task::spawn_blocking(move || {
        Command::new("node")
            .args(["script.mjs", &url, &options.tenant_id, &options.client_id])
            .arg(&options.client_secret)
            .current_dir(installed())
            .output()
            .expect("node can be started")
    });
    let output = run.await.expect("the script's thread ends");
    assert_success("script.mjs", &output);
    assert!(String::from_utf8_lossy(&output.stdout).contains("all checks passed"));
    assert!(sandbox.rows("opportunityclose").len() == 1, "the win left its activity");
}
