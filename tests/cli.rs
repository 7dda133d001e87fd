//! The command line, driven as a person drives it: the real program, its exit codes, its words.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use serde_json::Value as Json;
use tempfile::TempDir;

/// A folder with a configuration whose systems do not answer.
struct Place {
    folder: TempDir,
}

/// What a command gave.
struct Ended {
    code: Option<i32>,
    out: String,
    err: String,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
        std::fs::create_dir(path.join("mappings")).expect("a folder");
        let name = "salesforce-opportunity.toml";
        std::fs::copy(shipped.join(name), path.join("mappings").join(name)).expect("copied");
        std::fs::write(path.join("token"), "a-long-admin-token\n").expect("written");
        std::fs::write(path.join("key"), "0".repeat(64)).expect("written");
        std::fs::write(path.join("secret"), "secret").expect("written");
        let place = Self { folder };
        let (public, admin) = (free_port(), free_port());
        place.write(
            "cosell.toml",
            &format!(
                r#"
[server]
listen = "127.0.0.1:{public}"
[admin]
listen = "127.0.0.1:{admin}"
token = {{ file = "token" }}
[store]
path = "store"
encryption_key = {{ file = "key" }}
[accounts.contoso.partner_center]
tenant_id = "contoso.example"
client_id = "client"
client_secret = {{ file = "secret" }}
token_url = "http://127.0.0.1:9/token"
referrals_url = "http://127.0.0.1:9/"
webhooks_url = "http://127.0.0.1:9/"
[accounts.contoso.salesforce]
url = "http://127.0.0.1:9"
auth = "client_credentials"
client_id = "client"
client_secret = {{ file = "secret" }}
[accounts.contoso.sync]
"#
            ),
        );
        place
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).expect("written");
    }

    fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.path().join(name)).expect("a file")
    }

    fn change(&self, name: &str, old: &str, new: &str) {
        let text = self.read(name);
        assert!(text.contains(old), "{name} has no {old}");
        self.write(name, &text.replace(old, new));
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cosell-sync"));
        command.current_dir(self.folder.path()).env("COSELL_SYNC_CONFIG", "cosell.toml");
        command.env_remove("RUST_LOG").args(arguments).stdin(Stdio::null());
        command
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        ended(self.command(arguments).output().expect("it runs"))
    }

    /// Starts the daemon and waits until it says so.
    fn daemon(&self) -> Daemon {
        let mut child = self.command(&["run"]).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stderr.take().expect("a pipe")).lines();
        let started = lines.by_ref().map_while(Result::ok).any(|line| line.contains("Started"));
        assert!(started, "the daemon ended before it was started");
        // The rest is read on, so that the pipe never fills.
        let rest = std::thread::spawn(move || lines.map_while(Result::ok).collect());
        Daemon { child, rest: Some(rest) }
    }
}

struct Daemon {
    child: Child,
    rest: Option<std::thread::JoinHandle<Vec<String>>>,
}

impl Daemon {
    /// Asks it to stop; its exit code and what it said.
    fn stop(mut self) -> (Option<i32>, Vec<String>) {
        let id = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill").success());
        let code = self.child.wait().expect("it ends").code();
        (code, self.rest.take().expect("once").join().expect("lines"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Already gone after `stop`; killed if a test failed before.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn ended(output: Output) -> Ended {
    Ended {
        code: output.status.code(),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Every command and subcommand.
const COMMANDS: [&[&str]; 42] = [
    &[],
    &["demo"],
    &["sandbox"],
    &["run"],
    &["check"],
    &["doctor"],
    &["provision"],
    &["login"],
    &["webhook"],
    &["webhook", "show"],
    &["webhook", "register"],
    &["webhook", "test"],
    &["mapping"],
    &["mapping", "show"],
    &["mapping", "test"],
    &["mapping", "preview"],
    &["mapping", "diff"],
    &["mapping", "schema"],
    &["mapping", "history"],
    &["mapping", "reload"],
    &["mapping", "rollback"],
    &["status"],
    &["health"],
    &["links"],
    &["why"],
    &["audit"],
    &["audit", "list"],
    &["audit", "export"],
    &["audit", "verify"],
    &["audit", "redact"],
    &["dead-letters"],
    &["dead-letters", "list"],
    &["dead-letters", "show"],
    &["dead-letters", "retry"],
    &["dead-letters", "discard"],
    &["backfill"],
    &["reconcile"],
    &["backup"],
    &["restore"],
    &["service"],
    &["shadow"],
    &["shadow", "report"],
];

#[test]
fn every_command_explains_itself_within_80_columns() {
    let place = Place::new();
    for command in COMMANDS {
        let ended = place.run(&[command, &["--help"][..]].concat());
        assert_eq!(ended.code, Some(0), "{command:?}: {}", ended.err);
        assert!(ended.out.contains("Usage: cosell-sync"), "{command:?}: {}", ended.out);
        for line in ended.out.lines() {
            assert!(line.chars().count() <= 80, "{command:?}: {line}");
            assert!(!line.contains('\u{1b}'), "no colour in a pipe: {line}");
        }
    }
}

#[test]
fn bad_use_is_told_with_exit_code_2() {
    let place = Place::new();
    let table: [(&[&str], &str, &str); 17] = [
        (&["chekc"], "check", "a misspelt command is suggested"),
        (&["status", "--jsno"], "--json", "a misspelt flag is suggested"),
        (&["why"], "<ID>", "a missing argument is named"),
        (&["dead-letters", "retry"], "<ID>", "which ones?"),
        (&["status", "--config", "none.toml"], "none.toml", "a file that is not there"),
        (&["audit", "redact", "x"], "--yes", "nothing is erased unasked"),
        (&["links", "--limit", "0"], "1..", "nothing is shown"),
        (&["links", "--account", "contsoo"], "did you mean `contoso`?", "a misspelt account"),
        (&["mapping", "show", "--account", "sap"], "name one of contoso", "another account"),
        (&["dead-letters", "list", "--code", "two_record"], "'two_records'", "a misspelt code"),
        (&["dead-letters", "retry", "--all", "--code", "x"], "gave_up", "the codes are listed"),
        (&["audit", "list", "--kind", "wrot"], "'wrote'", "a misspelt kind"),
        (&["audit", "list", "--from", "yesterday"], "2026-11-22T00:00:00Z", "no moment"),
        (&["audit", "list", "--limit", "501"], "1..=500", "more than a page"),
        (&["mapping", "preview", "--crm", "sale", "--record", "x"], "salesforce", "which CRM?"),
        (
            &["mapping", "preview", "--crm", "salesforce", "--kind", "leads", "--record", "x"],
            "'lead'",
            "a misspelt kind of record",
        ),
        (&["restore", "none.gz", "--yes"], "no file none.gz", "a file that is not there"),
    ];
    for (arguments, expected, why) in table {
        let ended = place.run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {why}: {}", ended.err);
        assert!(ended.err.contains(expected), "{arguments:?}: {why}: {}", ended.err);
        assert!(ended.out.is_empty(), "errors go to standard error: {}", ended.out);
    }
    let ended = ended(
        place.command(&["check"]).env_remove("COSELL_SYNC_CONFIG").output().expect("it runs"),
    );
    assert_eq!(ended.code, Some(2), "nothing to check is bad use");
    assert!(ended.err.contains("--mappings DIR"), "{}", ended.err);
}

#[test]
fn a_misspelt_setting_is_told_with_its_line_and_the_right_name() {
    let place = Place::new();
    place.change("cosell.toml", "tenant_id", "tenantid");
    for command in ["check", "run", "status"] {
        let ended = place.run(&[command]);
        assert_eq!(ended.code, Some(2), "{command}");
        let expected = "cosell.toml:11:1: `tenantid` is not a setting; did you mean `tenant_id`?";
        assert_eq!(ended.err.lines().next(), Some(expected), "{command}");
    }
    place.change("cosell.toml", "client_id = ", "poll_secs = 0\nclient_id = ");
    let all = place.run(&["check", "--json", "--mappings", "mappings"]);
    assert_eq!(all.code, Some(2), "all of them at once: {}", all.err);
    let json: Json = serde_json::from_str(&all.out).expect("JSON");
    let problems = json["problems"].as_array().expect("problems");
    assert_eq!((problems.len(), &json["ok"]), (3, &Json::Bool(false)), "{json}");
    assert_eq!(problems[0]["place"], "cosell.toml:11:1", "{json}");
    assert_eq!(
        json["mappings"][0]["problems"],
        Json::Array(Vec::new()),
        "mappings are checked too"
    );
}

#[test]
fn check_runs_the_cases_of_good_mappings_and_shows_every_problem_of_bad_ones() {
    let place = Place::new();
    let good = place.run(&["check"]);
    assert_eq!(good.code, Some(0), "{}{}", good.out, good.err);
    assert!(good.out.contains("cases hold"), "{}", good.out);

    let file = "mappings/salesforce-opportunity.toml";
    place.change(file, "referral = \"details.dealValue\"", "referral = \"details.dealValu\"");
    place.change(file, "crm = \"CloseDate\"", "crm = \"ClosDate\"");
    let bad = place.run(&["check"]);
    assert_eq!(bad.code, Some(1));
    for expected in ["details.dealValu", "did you mean `details.dealValue`?", "ClosDate"] {
        assert!(bad.out.contains(expected), "{expected}: {}", bad.out);
    }
    let json: Json = serde_json::from_str(&place.run(&["check", "--json"]).out).expect("JSON");
    assert_eq!(json["ok"], false);
    let problems = json["mappings"][0]["problems"].as_array().expect("problems");
    assert!(problems.iter().any(|problem| problem["line"] == 28), "with its line: {json}");
    assert_eq!(place.run(&["run"]).code, Some(2), "the daemon does not start with it");
}

#[test]
fn a_case_that_does_not_hold_fails_the_check() {
    let place = Place::new();
    let file = "mappings/salesforce-opportunity.toml";
    let text = place.read(file);
    let case = "\n[[case]]\nname = \"wrong on purpose\"\ngiven = { crm = { IsWon = true } }\n\
                expect = { stage = \"lost\" }\n";
    place.write(file, &format!("{text}{case}"));
    for command in [&["check"][..], &["mapping", "test"]] {
        let ended = place.run(command);
        assert_eq!(ended.code, Some(1), "{command:?}");
        assert!(ended.out.contains("wrong on purpose"), "{command:?}: {}", ended.out);
    }
    let refused = place.run(&["run"]);
    assert_eq!(refused.code, Some(2), "nothing was in use before");
    assert!(refused.err.contains("wrong on purpose"), "{}", refused.err);
}

/// What a running daemon refuses does not go live by a restart, and does not keep it down either; the
/// commands that repair it work.
#[test]
fn a_bad_file_keeps_neither_the_daemon_down_nor_what_repairs_it() {
    let place = Place::new();
    let file = "mappings/salesforce-opportunity.toml";
    let first = place.read(file);
    place.daemon().stop();
    let history = place.run(&["mapping", "history", "--json"]);
    let history: Json = serde_json::from_str(&history.out).expect("JSON");
    let version = history["items"][0]["version"].as_str().expect("a version").to_owned();
    let case = "\n[[case]]\nname = \"wrong on purpose\"\ngiven = { crm = { IsWon = true } }\n\
                expect = { stage = \"lost\" }\n";
    let table = [
        (first.replace("details.dealValue", "details.dealValu"), "details.dealValu"),
        (format!("{first}{case}"), "wrong on purpose"),
        ("no table".to_owned(), "salesforce-opportunity.toml"),
    ];
    for (number, (bad, words)) in table.into_iter().enumerate() {
        place.write(file, &bad);
        let daemon = place.daemon();
        let state = |place: &Place| {
            let status = place.run(&["status", "--json"]);
            let status: Json = serde_json::from_str(&status.out).expect("JSON");
            status["accounts"][0]["mappings"].clone()
        };
        let running = state(&place);
        assert_eq!(running["version"], version.as_str(), "{words}");
        assert!(running["rejected"].to_string().contains(words), "{running}");
        let (code, said) = daemon.stop();
        assert_eq!(code, Some(0), "{said:?}");
        let stopped = state(&place);
        assert_eq!(
            (&stopped["version"], &stopped["rejected"].is_string()),
            (&version.as_str().into(), &true)
        );
        let backup = format!("backup-{number}.gz");
        for command in [
            &["backup", &backup][..],
            &["dead-letters", "list"],
            &["mapping", "history"],
            &["mapping", "rollback", &version, "--yes"],
        ] {
            let ended = place.run(command);
            assert_eq!(ended.code, Some(0), "{command:?}: {}", ended.err);
        }
        assert_eq!(place.read(file), first, "{words}");
        assert_eq!(state(&place)["rejected"], Json::Null, "{words}");
    }
}

#[test]
fn a_file_is_previewed_without_a_connection() {
    let place = Place::new();
    let id = "11111111-2222-4333-8444-555555555555";
    place.write("deal.json", &format!(r#"{{"id":"{id}","details":{{"dealValue":1200.5}}}}"#));
    place.write("row.json", r#"{"Amount":"many","Account.Name":"Fabrikam"}"#);
    place.write("broken.json", "{");
    let shown = |file: &[&str]| {
        let all = [&["mapping", "preview", "--crm", "salesforce"], file].concat();
        place.run(&all)
    };
    let deal = shown(&["--referral-file", "deal.json"]);
    assert_eq!(deal.code, Some(0), "{}", deal.err);
    assert!(deal.out.contains("Deal value (mappings/salesforce-opportunity.toml:27)"));
    assert!(deal.out.contains("to    Amount = 1200.5"), "{}", deal.out);
    let row = shown(&["--record-file", "row.json"]);
    assert!(row.out.contains("details.dealValue: \"many\" is not"), "the reason: {}", row.out);
    let rests = "name: not written on this occasion";
    assert!(
        row.out.contains(rests) && row.out.contains("a referral that is linked"),
        "{}",
        row.out
    );
    place.write("new.json", r#"{"Name":"Northwind ERP"}"#);
    let made = shown(&["--record-file", "new.json", "--new"]);
    assert!(made.out.contains("a referral that is made from it"), "{}", made.out);
    assert!(made.out.contains("to    name = \"Northwind ERP\""), "{}", made.out);
    let config = place.folder.path().join("cosell.toml");
    let mut elsewhere = place.command(&["mapping", "test"]);
    elsewhere.current_dir("/").env("COSELL_SYNC_CONFIG", config);
    let tested = ended(elsewhere.output().expect("it runs"));
    assert_eq!(tested.code, Some(0), "the folder of the configuration: {}", tested.err);
    for wrong in [
        &["--referral-file", "broken.json"][..],
        &["--referral-file", "row.json"],
        &["--referral-file", "absent.json"],
        &["--record-file", "row.json", "--kind", "lead"],
        &["--record-file", "row.json", "--referral", id],
        &[],
    ] {
        let ended = shown(wrong);
        assert_eq!(ended.code, Some(2), "{wrong:?}: {}{}", ended.out, ended.err);
    }
}

#[test]
fn without_a_daemon_commands_work_on_its_store() {
    let place = Place::new();
    let status = place.run(&["status"]);
    assert_eq!(status.code, Some(1), "{}{}", status.out, status.err);
    assert!(!status.out.contains("Nothing needs you."), "{}", status.out);
    assert!(status.out.starts_with("NEEDS YOU  The daemon does not run"), "{}", status.out);
    let json: Json = serde_json::from_str(&place.run(&["status", "--json"]).out).expect("JSON");
    assert!(json["started"].is_null(), "{json}");
    assert_eq!(place.run(&["links"]).out, "0 deals\n");
    assert_eq!(place.run(&["dead-letters", "list"]).out, "Nothing needs you.\n");
    let unknown = place.run(&["why", "11111111-2222-4333-8444-555555555555"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("Nothing is known"), "{}", unknown.err);
    let schema: Json = serde_json::from_str(&place.run(&["mapping", "schema"]).out).expect("JSON");
    assert!(schema["properties"].is_object());
}

#[test]
fn the_daemon_answers_commands_and_stops_softly() {
    let place = Place::new();
    let daemon = place.daemon();

    let json: Json = serde_json::from_str(&place.run(&["status", "--json"]).out).expect("JSON");
    assert!(json["started"].is_string(), "it is the daemon that answered: {json}");
    assert_eq!(json["accounts"][0]["name"], "contoso");
    let status = place.run(&["status"]);
    assert!(!status.out.contains("does not run"), "{}", status.out);
    for line in status.out.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    let shown = place.run(&["mapping", "show"]);
    assert!(shown.out.contains("salesforce/opportunity"), "{}", shown.out);
    let doctor = place.run(&["doctor"]);
    assert_eq!(doctor.code, Some(1), "the systems do not answer");
    assert!(doctor.out.contains("PROBLEM contoso/partner_center"), "{}", doctor.out);
    assert!(doctor.out.contains("cosell-sync login"), "with the fix: {}", doctor.out);
    let queued = place.run(&["reconcile"]);
    assert_eq!(queued.out, "0 deals will be compared now.\n");

    let restore = place.run(&["restore", "none.gz", "--yes"]);
    assert_eq!(restore.code, Some(1));
    let held = format!("in use by process {}", daemon.child.id());
    assert!(restore.err.contains(&held), "never under a running daemon: {}", restore.err);
    let twice = place.run(&["run"]);
    assert_eq!(twice.code, Some(1), "{}", twice.err);
    assert!(twice.err.contains(&held), "who has it: {}", twice.err);
    let relink = ["links", "relink", "a/b", "salesforce/opportunity/006000000000001", "--yes"];
    let relink = place.run(&relink);
    assert_eq!(relink.code, Some(1));
    assert!(relink.err.contains("There is no deal `a/b`."), "it reaches its route: {}", relink.err);

    place.write("token", "another-token");
    let refused = place.run(&["status"]);
    assert_eq!(refused.code, Some(2), "a wrong token is a wrong configuration");
    assert!(refused.err.contains("refuses the admin token"), "{}", refused.err);
    place.write("token", "a-long-admin-token\n");
    place.change("cosell.toml", "path = \"store\"", "path = \"other\"");
    let other = place.run(&["run"]);
    assert_eq!(other.code, Some(1), "{}", other.err);
    assert!(other.err.contains("another program listens there"), "{}", other.err);
    let status = place.run(&["status"]);
    assert_eq!(status.code, Some(1), "the daemon that answers is not that of this store");
    assert!(status.err.contains("is not the daemon of this store"), "{}", status.err);

    let (code, lines) = daemon.stop();
    assert_eq!(code, Some(0), "{lines:?}");
    assert!(lines.iter().any(|line| line.contains("Stopped")), "{lines:?}");
}

#[test]
fn health_tells_whether_the_daemon_is_alive() {
    let place = Place::new();
    let ended = place.run(&["health"]);
    assert_eq!((ended.code, ended.out.lines().count()), (Some(1), 1), "{}{}", ended.out, ended.err);
    assert!(ended.out.starts_with("No daemon answers at 127.0.0.1:"), "{}", ended.out);
    let daemon = place.daemon();
    // No token is needed.
    place.change("cosell.toml", "token = { file = \"token\" }", "token = { file = \"nowhere\" }");
    let ended = place.run(&["health"]);
    assert_eq!((ended.code, ended.out.lines().count()), (Some(0), 1), "{}{}", ended.out, ended.err);
    drop(daemon);
}

/// The admin token goes to nobody but the daemon that has our store open.
#[test]
fn the_token_is_not_sent_to_a_stranger() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    let text = place.read("cosell.toml");
    let (head, tail) = text.split_once("[admin]\nlisten = ").expect("the table");
    let rest = tail.split_once('\n').expect("a line").1;
    place.write("cosell.toml", &format!("{head}[admin]\nlisten = \"{address}\"\n{rest}"));
    let told = "HTTP/1.1 200 OK\r\nserver: cosell-sync\r\ncontent-length: 3\r\nconnection: close\r\n\r\nok\n";
    let asked = std::thread::spawn(move || {
        // Whoever comes second: the program again, or this test when the program has ended.
        let answer = |stream: TcpStream| {
            let mut lines = BufReader::new(&stream).lines().map_while(Result::ok);
            let head: Vec<String> = lines.by_ref().take_while(|line| !line.is_empty()).collect();
            let _ = (&stream).write_all(told.as_bytes());
            head.join("\n")
        };
        [(); 2].map(|()| answer(listener.accept().expect("a caller").0))
    });
    let status = place.run(&["status"]);
    // It fails if the program has come twice already.
    let _ = TcpStream::connect(address).and_then(|mut last| last.write_all(b"the end\n\n"));
    let [first, second] = asked.join().expect("asked");
    assert!(first.starts_with("GET /healthz"), "{first}");
    assert!(!first.to_lowercase().contains("authorization"), "{first}");
    assert_eq!(second, "the end", "it was asked again");
    assert_eq!(status.code, Some(1));
    assert!(status.out.contains("The daemon does not run"), "{}", status.out);
}

/// A daemon that hangs is told as such, and the command ends.
#[test]
fn a_daemon_that_hangs_is_told() {
    let place = Place::new();
    let daemon = place.daemon();
    let id = daemon.child.id().to_string();
    let send = |signal: &str| {
        assert!(Command::new("kill").args([signal, &id]).status().expect("kill").success());
    };
    send("-STOP");
    let status = place.run(&["status"]);
    send("-CONT");
    assert_eq!(status.code, Some(1), "{}", status.out);
    for told in ["Waiting for the daemon", &format!("in use by process {id}"), "start it again"] {
        assert!(status.err.contains(told), "{told}: {}", status.err);
    }
}

/// Variables of other programs may hold anything; ours must be text.
#[test]
fn the_environment_need_not_be_text() {
    use std::os::unix::ffi::OsStrExt as _;
    let place = Place::new();
    let bytes = std::ffi::OsStr::from_bytes(b"\xff");
    let other = place.command(&["check"]).env("OTHER", bytes).output().expect("it runs");
    assert_eq!(ended(other).code, Some(0));
    let ours = place.command(&["check"]).env("COSELL_SYNC__SERVER__LANES", bytes).output();
    let ours = ended(ours.expect("it runs"));
    assert_eq!(ours.code, Some(2), "{}", ours.err);
    assert!(
        ours.err.starts_with("environment variable COSELL_SYNC__SERVER__LANES"),
        "{}",
        ours.err
    );
}

/// `check` refuses what `run` would refuse, and says where it stands.
#[test]
fn check_looks_at_what_the_configuration_names() {
    let place = Place::new();
    place.write("cert.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let secret = "client_secret = { file = \"secret\" }";
    let sync = "[accounts.contoso.sync]\n";
    let roots = |file: &str| {
        format!(
            "[accounts.contoso.partner_center.webhook]\nroots = \"{file}\"\n\
             certificate_hosts = [\"a.example\"]\ncertificate_paths = [\"/c\"]\n{sync}"
        )
    };
    let good = place.read("cosell.toml");
    let table = [
        (secret, secret.replace("secret\" }", "nowhere\" }"), "nowhere cannot be read", "no file"),
        ("file = \"key\"", "file = \"secret\"".to_owned(), "64 hexadecimal digits", "no key"),
        (secret, "certificate = { file = \"secret\" }".to_owned(), "no PEM certificate", "no PEM"),
        (
            secret,
            "certificate = { file = \"cert.pem\" }".to_owned(),
            "no PEM private key",
            "no key",
        ),
        (sync, roots("nowhere.pem"), "nowhere.pem cannot be read", "no roots"),
        (sync, roots("secret"), "no PEM certificate", "roots that are none"),
        (sync, roots("cert.pem"), "`run` would end with it", "only the start itself finds that"),
    ];
    for (right, wrong, expected, why) in table {
        assert!(good.contains(right), "{right}");
        place.write("cosell.toml", &good.replacen(right, &wrong, 1));
        let ended = place.run(&["check"]);
        assert_eq!(ended.code, Some(2), "{why}: {}{}", ended.out, ended.err);
        assert!(ended.err.contains(expected), "{why}: {}", ended.err);
        assert!(ended.err.starts_with("cosell.toml"), "{why}: {}", ended.err);
        assert_eq!(place.run(&["run"]).code, Some(2), "{why}: `run` agrees");
    }
    place.write("cosell.toml", &good.replacen("file = \"secret\"", "env = \"NOT_SET\"", 1));
    let ended = place.run(&["check"]);
    assert_eq!(ended.code, Some(0), "{}", ended.err);
    assert!(ended.out.contains("NOT_SET is not set here"), "{}", ended.out);
}

#[test]
fn a_missing_file_is_told_with_the_setting_that_names_it() {
    let place = Place::new();
    let sync = "[accounts.contoso.sync]\n";
    place.change("cosell.toml", sync, &format!("{sync}mappings = \"nowhere\"\n"));
    let ended = place.run(&["run"]);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    let told = "accounts.contoso.sync.mappings: the folder nowhere cannot be read";
    assert!(ended.err.contains(told), "{}", ended.err);
    place.change("cosell.toml", "mappings = \"nowhere\"\n", "");
    let webhook = "[accounts.contoso.partner_center.webhook]\nroots = \"nowhere.pem\"\n\
                   certificate_hosts = []\ncertificate_paths = []\n";
    place.change("cosell.toml", sync, &format!("{webhook}{sync}"));
    let ended = place.run(&["run"]);
    assert_eq!(ended.code, Some(2), "{}", ended.err);
    let told = "accounts.contoso.partner_center.webhook.roots: nowhere.pem cannot be read";
    assert!(ended.err.contains(told), "{}", ended.err);
}

#[test]
fn a_backup_comes_back() {
    let place = Place::new();
    let daemon = place.daemon();
    let queued = place.run(&["reconcile"]);
    assert_eq!(queued.code, Some(0), "{}", queued.err);
    let backup = place.run(&["backup", "backup.gz"]);
    assert_eq!(backup.code, Some(0), "{}", backup.err);
    let again = place.run(&["backup", "backup.gz"]);
    assert_eq!(again.code, Some(2), "a backup never replaces a file");
    daemon.stop();

    std::fs::remove_dir_all(place.folder.path().join("store")).expect("lost");
    assert_eq!(place.run(&["restore", "backup.gz"]).code, Some(2), "it asks first");
    let restored = place.run(&["restore", "backup.gz", "--yes"]);
    assert_eq!(restored.code, Some(0), "{}", restored.err);
    let trail = place.run(&["audit", "export"]);
    assert!(trail.out.contains("A full comparison was begun"), "{}", trail.out);
    let again = place.run(&["restore", "backup.gz", "--yes"]);
    assert!(again.out.contains("kept in store/replaced-1\n"), "{}", again.out);
    place.write("cut.gz", "no backup");
    let wrong = place.run(&["restore", "cut.gz", "--yes"]);
    assert_eq!(wrong.code, Some(1), "{}", wrong.out);
    assert!(wrong.err.contains("cut.gz is no whole backup"), "{}", wrong.err);
    let verified = place.run(&["audit", "verify"]);
    assert_eq!(verified.code, Some(0), "{}", verified.err);
    assert!(verified.out.contains("unbroken"), "{}", verified.out);
    let csv = place.run(&["audit", "export", "--format", "csv", "--output", "trail.csv"]);
    assert_eq!(csv.code, Some(0), "{}", csv.err);
    assert!(place.read("trail.csv").starts_with("number,at,account"));
}

#[test]
fn a_second_sandbox_is_told_what_is_taken() {
    let place = Place::new();
    let ports: Vec<String> = (0..4).map(|_| format!("127.0.0.1:{}", free_port())).collect();
    let start = |control: &str, partner_center: &str| {
        let mut command = place.command(&["sandbox", "--folder", "try"]);
        command.args(["--control", control, "--partner-center", partner_center]);
        command.args(["--dynamics365", &ports[2], "--salesforce", &ports[3]]);
        command
    };
    let mut first = start(&ports[0], &ports[1]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(first.stdout.take().expect("a pipe")).lines();
    let started = lines.by_ref().map_while(Result::ok).any(|line| line.contains("Ctrl-C"));
    let first = Daemon { child: first, rest: None };
    assert!(started, "the sandbox ended before it was started");
    for (control, taken) in [(&ports[0], &ports[0]), (&"127.0.0.1:0".to_owned(), &ports[1])] {
        let second = ended(start(control, &ports[1]).output().expect("it runs"));
        assert_eq!(second.code, Some(1), "{}", second.out);
        assert!(second.err.starts_with(taken), "which one: {}", second.err);
        assert!(second.err.contains("a sandbox runs already"), "{}", second.err);
    }
    let check = place.run(&["check", "--config", "try/cosell-sync.toml"]);
    assert_eq!(check.code, Some(0), "what it writes is good: {}", check.err);
    drop(first);
}

/// Where there is no backup, a store that is lost is begun anew and filled by a first load.
#[test]
fn a_lost_store_is_begun_anew() {
    let place = Place::new();
    place.daemon().stop();
    std::fs::remove_dir_all(place.folder.path().join("store/data")).expect("lost");
    let refused = place.run(&["run"]);
    assert_eq!(refused.code, Some(1), "never taken for a new one");
    assert!(refused.err.contains("--rebuild"), "the way out: {}", refused.err);
    assert_eq!(place.run(&["restore"]).code, Some(2), "from what?");
    assert_eq!(place.run(&["restore", "--rebuild"]).code, Some(2), "it asks first");
    let rebuilt = place.run(&["restore", "--rebuild", "--yes"]);
    assert_eq!(rebuilt.code, Some(0), "{}", rebuilt.err);
    assert!(rebuilt.out.contains("kept in store/replaced-1\n"), "{}", rebuilt.out);
    assert!(rebuilt.out.contains("cosell-sync login"), "{}", rebuilt.out);
    let trail = place.run(&["audit", "export"]);
    assert!(trail.out.contains("A first load was begun."), "{}", trail.out);
    let daemon = place.daemon();
    let refused = place.run(&["restore", "--rebuild", "--yes"]);
    assert!(refused.err.contains("in use"), "never under a running daemon: {}", refused.err);
    drop(daemon);
}

#[test]
fn a_unit_for_systemd_names_what_the_daemon_needs() {
    let place = Place::new();
    let unit = place.run(&["service", "--user", "sync", "--writable", "backups"]);
    assert_eq!(unit.code, Some(0), "{}", unit.err);
    let folder = place.folder.path().display().to_string();
    for line in [
        "User=sync".to_owned(),
        format!(" run --config {folder}/cosell.toml --log-json"),
        format!("ReadWritePaths={folder}/backups {folder}/mappings {folder}/store"),
        "RestartPreventExitStatus=2".to_owned(),
        "StartLimitIntervalSec=0".to_owned(),
        "TimeoutStopSec=30".to_owned(),
        "WantedBy=multi-user.target".to_owned(),
    ] {
        assert!(unit.out.contains(&line), "{line}: {}", unit.out);
    }
    // Missing folders are told, those that are there are not.
    let store = format!("{folder}/store");
    std::fs::create_dir(place.folder.path().join("store")).expect("made");
    for (path, told) in [(format!("{folder}/backups"), true), (store, false)] {
        let again = place.run(&["service", "--user", "sync", "--writable", "backups"]);
        let make = format!("install -d -o sync -m 0700 {path}\n");
        assert_eq!(again.err.contains(&make), told, "{path}: {}", again.err);
    }
    let store = "COSELL_SYNC__STORE__PATH";
    let mut elsewhere = place.command(&["service"]);
    let elsewhere = ended(elsewhere.env(store, "/srv/not-there").output().expect("it runs"));
    for words in [store, "/srv/not-there is not a folder"] {
        assert!(elsewhere.err.contains(words), "{words}: {}", elsewhere.err);
    }
    place.change("cosell.toml", "path = \"store\"", "path = \"/var/lib/cosell-sync\"");
    let unit = place.run(&["service"]);
    assert!(unit.out.contains("\nStateDirectory=cosell-sync\n"), "{}", unit.out);
    assert_eq!(unit.err, "", "systemd makes this one, and nothing overrides");
}

#[test]
fn mapping_versions_are_kept_and_put_back() {
    let place = Place::new();
    let file = "mappings/salesforce-opportunity.toml";
    let first = place.read(file);
    place.daemon().stop();
    let history = |place: &Place| -> Vec<Json> {
        let ended = place.run(&["mapping", "history", "--json"]);
        let json: Json = serde_json::from_str(&ended.out).expect("JSON");
        json["items"].as_array().expect("items").clone()
    };
    place.write(file, &format!("{first}\n# A remark.\n"));
    place.daemon().stop();
    let versions = history(&place);
    assert_eq!(versions.len(), 2, "{versions:?}");
    assert!(versions[0]["changes"].to_string().contains("A remark."), "{versions:?}");

    let old = versions[1]["version"].as_str().expect("a version");
    let back = place.run(&["mapping", "rollback", old, "--yes"]);
    assert_eq!(back.code, Some(0), "{}", back.err);
    assert_eq!(place.read(file), first);
    let versions = history(&place);
    assert_eq!(versions.len(), 3, "going back is a version too");
    assert_eq!(versions[0]["who"], "admin");
    let unknown = place.run(&["mapping", "rollback", "none", "--yes"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("mapping history"), "{}", unknown.err);
}

#[test]
fn the_example_configuration_is_good() {
    let place = Place::new();
    let example: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
    let example = example.to_str().expect("text");
    let ended = place.run(&["check", "--without-files", "--config", example]);
    assert_eq!(ended.code, Some(0), "{}{}", ended.out, ended.err);
    assert!(ended.out.contains("were not looked at"), "{}", ended.out);
    let ended = place.run(&["check", "--config", example]);
    assert_eq!(ended.code, Some(2), "its secrets are not here: {}", ended.out);
    assert!(ended.err.contains("--without-files"), "{}", ended.err);
}
