//! `login`, driven as a person does it, against the emulated sign-in of Partner Center.
#![cfg(all(unix, feature = "sandbox"))]

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cosell_sync::sandbox::{Addresses, Sandbox};
use serde_json::Value as Json;

/// A configuration without a refresh token: nobody has signed in yet.
fn write_files(sandbox: &Sandbox, folder: &Path) {
    let [public, admin] = [9, 1].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    sandbox.write_files(folder, public, admin).expect("written");
    let file = folder.join("cosell-sync.toml");
    let text = std::fs::read_to_string(&file).expect("a file");
    let lines = text.lines().filter(|line| !line.starts_with("refresh_token"));
    let text: Vec<&str> = lines.collect();
    std::fs::write(&file, text.join("\n")).expect("written");
}

fn start(folder: &Path, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_cosell-sync"))
        .current_dir(folder)
        .env_remove("RUST_LOG")
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        .spawn()
        .expect("it starts")
}

/// Whether `doctor` can sign in with what is kept.
fn signed_in(folder: &Path) -> bool {
    let output = start(folder, &["doctor", "--json"]).wait_with_output().expect("it ends");
    let report: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    let findings = report["findings"].as_array().expect("findings");
    let of = |finding: &&Json| finding["area"] == "partner_center" && finding["level"] == "ok";
    findings.iter().filter(of).any(|finding| finding["what"] == "Signed in.")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_code_is_entered_and_the_token_is_kept_encrypted() {
    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = Sandbox::start(Addresses::free()).await.expect("emulators");
    write_files(&sandbox, folder.path());
    let path = folder.path().to_owned();
    tokio::task::spawn_blocking(move || {
        assert!(!signed_in(&path), "nobody has signed in yet");
        let mut login = start(&path, &["login"]);
        let mut out = BufReader::new(login.stdout.take().expect("a pipe"));
        let (mut address, mut code) = (String::new(), String::new());
        out.read_line(&mut address).expect("a line");
        out.read_line(&mut code).expect("a line");
        assert!(address.starts_with("Open http"), "{address}");
        let code = code.rsplit(' ').next().expect("a code").trim();
        assert!(sandbox.partner_center.approve_device_code(code), "the code is {code}");
        let mut rest = String::new();
        out.read_to_string(&mut rest).expect("text");
        assert_eq!(login.wait().expect("it ends").code(), Some(0), "{rest}");
        assert!(rest.contains("The refresh token is kept, encrypted."), "{rest}");
        assert!(signed_in(&path), "the kept token is used");
        let kept = sandbox.partner_center.refresh_token();
        for entry in walk(&path.join("store")) {
            let bytes = std::fs::read(&entry).expect("a file");
            let plain = bytes.windows(kept.len()).any(|part| part == kept.as_bytes());
            assert!(!plain, "the token stands in {}", entry.display());
        }
    })
    .await
    .expect("as told");
}

/// Signs in by device code with these arguments; the exit code and what was told.
fn sign_in(sandbox: &Sandbox, folder: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let mut login = start(folder, arguments);
    let mut out = BufReader::new(login.stdout.take().expect("a pipe"));
    let (mut address, mut code) = (String::new(), String::new());
    out.read_line(&mut address).expect("a line");
    out.read_line(&mut code).expect("a line");
    let code = code.rsplit(' ').next().expect("a code").trim();
    assert!(sandbox.partner_center.approve_device_code(code), "the code is {code}");
    let mut rest = String::new();
    out.read_to_string(&mut rest).expect("text");
    (login.wait().expect("it ends").code(), rest)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sign_in_without_mfa_replaces_nothing_unless_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = Sandbox::start(Addresses::free()).await.expect("emulators");
    sandbox.partner_center.set_options(|options| options.consent_with_mfa = false);
    write_files(&sandbox, folder.path());
    let path = folder.path().to_owned();
    tokio::task::spawn_blocking(move || {
        let (code, told) = sign_in(&sandbox, &path, &["login"]);
        assert_eq!(code, Some(1), "{told}");
        assert!(told.contains("multi-factor") && told.contains("Nothing was kept"), "{told}");
        assert!(told.contains("--without-mfa"), "the way out is told: {told}");
        assert!(!signed_in(&path), "nothing was kept");
        let (code, told) = sign_in(&sandbox, &path, &["login", "--without-mfa"]);
        assert_eq!(code, Some(0), "{told}");
        assert!(told.contains("is kept") && told.contains("multi-factor"), "{told}");
        assert!(signed_in(&path), "it was kept");
    })
    .await
    .expect("as told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_staged_secret_is_tried_and_the_one_in_use_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let sandbox = Sandbox::start(Addresses::free()).await.expect("emulators");
    let [public, admin] = [9, 1].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
    sandbox.write_files(folder.path(), public, admin).expect("written");
    let path = folder.path().to_owned();
    tokio::task::spawn_blocking(move || {
        let right = sandbox.partner_center.options().client_secret;
        let table = [
            (right.as_str(), Some(0), "It works.", "the right one"),
            ("wrong-and-secret", Some(1), "the client secret is wrong", "a wrong one"),
            ("-----BEGIN NOTHING", Some(1), "It is refused", "what is no certificate"),
            ("", Some(2), "the secret is empty", "nothing"),
        ];
        for (text, code, part, why) in table {
            std::fs::write(path.join("staged"), text).expect("written");
            let mut arguments = Command::new(env!("CARGO_BIN_EXE_cosell-sync"));
            arguments.current_dir(&path).args(["login", "--test-secret", "staged"]);
            let output = arguments.output().expect("it ends");
            let told = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), code, "{why}: {told}");
            assert!(told.contains(part), "{why}: {told}");
            assert!(text.is_empty() || !told.contains(text), "{why}: no secret: {told}");
        }
        assert!(signed_in(&path), "the one in use stays");
    })
    .await
    .expect("as told");
}

fn walk(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() { found.extend(walk(&path)) } else { found.push(path) }
    }
    found
}
