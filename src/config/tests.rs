use std::path::PathBuf;

use super::Config;

const GOOD: &str = r#"
[server]
listen = "0.0.0.0:8080"
public_url = "https://cosell.example.com"
[store]
path = "/var/lib/cosell-sync"
[accounts.contoso.partner_center]
tenant_id = "contoso.example"
client_id = "c"
client_secret = { file = "/run/secrets/pc" }
[accounts.contoso.salesforce]
url = "https://contoso.my.salesforce.com"
auth = "client_credentials"
client_id = "c"
client_secret = { env = "SF_SECRET" }
[accounts.contoso.sync]
"#;

const SYNC: &str = "[accounts.contoso.sync]\n";

fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let environment =
        environment.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    Config::parse("cosell.toml", text, PathBuf::new(), environment)
        .map_err(|error| error.to_string())
}

#[test]
fn a_good_file_is_read() {
    let config = parse(GOOD, &[]).expect("good");
    assert_eq!(config.accounts["contoso"].partner_center.reconcile_secs, 300);
    assert!(config.accounts["contoso"].sync.leads);
}

#[test]
fn every_mistake_is_told_with_its_place_and_fix() {
    let table = [
        (
            "listen = \"0.0.0.0:8080\"",
            "lissten = \"0.0.0.0:8080\"",
            "cosell.toml:3:1: `lissten` is not a setting; did you mean `listen`?",
        ),
        (
            "tenant_id = \"contoso.example\"\n",
            "",
            "cosell.toml:7:1: `tenant_id` is missing; add it; config.example.toml shows how",
        ),
        (
            "https://contoso.my",
            "http://contoso.my",
            "cosell.toml:12:1: `accounts.contoso.salesforce.url` is http://contoso.my.salesforce.com/, which would send \
             credentials in the open; use https; plain http is accepted for loopback addresses only",
        ),
        (
            "[accounts.contoso.sync]",
            "[accounts.contoso.sync]\ntime_zone = \"Europe/Atlantis\"",
            "cosell.toml:17:1: `accounts.contoso.sync.time_zone` is \"Europe/Atlantis\", which is no time zone; use a name \
             such as \"Europe/Berlin\"",
        ),
        (
            "client_id = \"c\"\nclient_secret = { env",
            "client_id = \"c\"\npoll_secs = 0\nclient_secret = { env",
            "cosell.toml:15:1: `accounts.contoso.salesforce.poll_secs` is 0; choose 1 to 86400",
        ),
        (
            "client_id = \"c\"\nclient_secret = { env",
            "client_id = \"c\"\npoll_secs = \"30s\"\nclient_secret = { env",
            "cosell.toml:15:13: a whole number is expected, such as 30; write it without quotation marks and \
             without a unit",
        ),
        (
            "client_secret = { file = \"/run/secrets/pc\" }",
            "client_secret = { file = \"/run/secrets/pc\" }\ncertificate = { file = \"/run/secrets/pc.pem\" }",
            "cosell.toml:7:19: accounts.contoso.partner_center needs a client_secret or a certificate; give exactly one \
             of the two",
        ),
        (
            "[store]",
            "[admin]\nlisten = \"0.0.0.0:8081\"\n[store]",
            "cosell.toml:6:1: `admin.listen` is 0.0.0.0:8081, which is open to the network without TLS; use a loopback \
             address, or put a TLS proxy in front and set admin.behind_proxy = true",
        ),
    ];
    for (right, wrong, expected) in table {
        assert!(GOOD.contains(right), "{right}");
        assert_eq!(parse(&GOOD.replace(right, wrong), &[]).expect_err(wrong), expected);
    }
}

/// A word in the place of a value, and what is told of it.
#[test]
fn a_value_that_cannot_work_is_told_with_the_right_form() {
    let url = "url = \"https://contoso.my.salesforce.com\"";
    let account = "[accounts.contoso.partner_center]\n";
    let put = |table: &str, line: &str| format!("{table}{line}\n");
    let webhook = |host: &str, path: &str| {
        format!(
            "[accounts.contoso.partner_center.webhook]\nroots = \"r\"\n\
             certificate_hosts = [\"{host}\"]\ncertificate_paths = [\"{path}\"]\n{SYNC}"
        )
    };
    let person = |name: &str, email: &str| {
        format!(
            "{SYNC}[accounts.contoso.sharing]\ndefault_team = [{{ first_name = \"{name}\", \
             last_name = \"Example\", phone = \"1\", email = \"{email}\" }}]\n"
        )
    };
    let dynamics = |url: &str| {
        format!(
            "[accounts.contoso.dynamics365]\nurl = \"{url}\"\ntenant_id = \"contoso.example\"\n\
             client_id = \"c\"\nclient_secret = {{ env = \"D\" }}\n{SYNC}\
             primary_crm = \"salesforce\"\n"
        )
    };
    let listen = "listen = \"0.0.0.0:8080\"";
    let public = "public_url = \"https://cosell.example.com\"";
    let store = "[store]\n";
    let host = "not the exact name of a host";
    let table = [
        (listen, "listen = \"localhost:8080\"".to_owned(), "nothing to listen on", "a name"),
        (listen, "listen = 8080".to_owned(), "nothing to listen on", "a number"),
        (store, put("[admin]\nlisten = \"127.0.0.1:8080\"\n", store), "takes already", "one port"),
        (public, "public_url = \"cosell\"".to_owned(), "no address; write it whole", "a word"),
        (public, public.replace(".com", ".com/?a=1"), "cut it off", "a query"),
        (public, public.replace("//", "//me:5ECRET@"), "holds a user name or password", "a user"),
        (url, format!("{url}\napi_version = \"v66\""), "as in \"66.0\", without a v", "a v"),
        (url, format!("{url}\napi_version = \"66\""), "as in \"66.0\"", "no decimal"),
        (url, format!("{url}\napi_version = 66.0"), "quotation marks", "a number"),
        (url, format!("{url}\napi_version = \"49.0\""), "50.0 or newer", "too old"),
        (url, url.replace(".com", ".com/services/data"), "write only the root", "a path"),
        (url, url.replace("my.salesforce", "lightning.force"), "for browsers", "the wrong host"),
        (url, format!("{url}\nusername = \"sam\""), "no e-mail address", "a user's name"),
        (SYNC, dynamics("https://contoso.crm.dynamics.com/api/data/v9.2"), "root", "a path"),
        (account, put(account, "mpn_id = \"MPN-1\""), "PartnerID", "letters"),
        (account, put(account, "mpn_id = 1234567"), "quotation marks", "a number"),
        ("contoso.example\"\nclient", "contoso\"\nclient".to_owned(), "no tenant", "a word"),
        (SYNC, webhook("*.blob.example", "/c"), host, "a pattern"),
        (SYNC, webhook("https://blob.example", "/c"), host, "an address"),
        (SYNC, webhook("blob.example", "c"), "no path of a host", "a name in place of a path"),
        (SYNC, person("Sam", "seller at contoso"), "no e-mail address", "no @"),
        (SYNC, person(" ", "seller@contoso.example"), "`first_name of person 1 of", "nobody"),
        ("env = \"SF_SECRET\"", "env = \"A\", file = \"b\"".to_owned(), "one source", "two"),
        ("{ env = \"SF_SECRET\" }", "{}".to_owned(), "one source", "none"),
    ];
    for (right, wrong, expected, why) in table {
        assert!(GOOD.contains(right), "{right}");
        let told = parse(&GOOD.replacen(right, &wrong, 1), &[]).expect_err(why);
        assert!(told.contains(expected), "{why}: {told}");
        assert_eq!(told.lines().count(), 1, "{why}: {told}");
        assert!(told.starts_with("cosell.toml:"), "{why}: {told}");
        assert!(!told.contains("5ECRET"), "{why}: {told}");
    }
}

/// A report shows the line of a problem, but never a value.
#[test]
fn a_report_shows_where_without_repeating_a_value() {
    let table = [
        (
            "lanes = 0".to_owned(),
            "cosell.toml:3:1: `server.lanes` is 0; choose 1 to 256\n  |\n3 | lanes = ...\n  | ^",
            "the key",
        ),
        (
            "lanes = \"5ECRET\"".to_owned(),
            "cosell.toml:3:9: a whole number is expected, such as 30; write it without quotation marks \
             and without a unit\n  |\n3 | lanes = ...\n  |         ^",
            "the place of the value",
        ),
        ("5ECRET==".to_owned(), "", "no key at all"),
        ("lanes = \"\"\"\n5ECRET = 1\n\"\"\"".to_owned(), "", "a text of several lines"),
    ];
    for (line, expected, why) in table {
        let text = GOOD.replacen("[server]", &format!("[server]\n{line}"), 1);
        let nothing = std::iter::empty();
        let error = Config::parse("cosell.toml", &text, PathBuf::new(), nothing).expect_err(why);
        let report = error.report();
        assert!(report.contains(expected), "{why}: {report}");
        assert!(!report.contains("5ECRET"), "{why}: {report}");
    }
}

/// What a file names is looked at, too: it must be there and hold what it should.
#[test]
fn what_the_settings_name_must_be_there_and_usable() {
    let folder = tempfile::tempdir().expect("a folder");
    let put = |name: &str, text: &str| {
        std::fs::write(folder.path().join(name), text).expect("written");
    };
    put("secret", "s");
    put("empty", "\n");
    let secret = "client_secret = { file = \"secret\" }";
    let good = GOOD
        .replace("/run/secrets/pc", "secret")
        .replace("env = \"SF_SECRET\"", "file = \"secret\"");
    let path = folder.path().join("cosell.toml");
    // Stands for the one that reads keys and certificates: all that is wrong is what says so.
    let judge = |holds: super::Holds, bytes: &[u8]| match (holds, bytes) {
        (super::Holds::Text, _) => Ok(()),
        _ => Err(format!("{} bytes that are none", bytes.len())),
    };
    let look = |text: &str| {
        put("cosell.toml", text);
        let read = Config::examine(&path, std::iter::empty(), judge);
        read.map(|(_, warnings)| warnings.iter().map(ToString::to_string).collect::<Vec<_>>())
            .map_err(|error| error.to_string())
    };
    let store = "path = \"/var/lib/cosell-sync\"";
    let key = format!("{store}\nencryption_key = {{ file = \"secret\" }}");
    let table = [
        (secret, "client_secret = { file = \"nowhere\" }", "nowhere cannot be read", "no file"),
        (secret, "client_secret = { file = \".\" }", "cannot be read", "a folder"),
        (secret, "client_secret = { file = \"empty\" }", "is empty", "an empty file"),
        (store, &key, "openssl rand -hex 32", "no key"),
        (
            secret,
            "certificate = { file = \"secret\" }",
            "the certificate and its RSA key",
            "no PEM",
        ),
        (
            "[accounts.contoso.partner_center]",
            "[accounts.contoso.partner_center]\nca_file = \"nowhere.pem\"",
            "nowhere.pem cannot be read",
            "no trust roots",
        ),
    ];
    for (right, wrong, expected, why) in table {
        assert!(good.contains(right), "{right}");
        let told = look(&good.replacen(right, wrong, 1)).expect_err(why);
        assert!(told.contains(expected), "{why}: {told}");
        assert!(told.contains("cosell.toml:") && told.lines().count() == 1, "{why}: {told}");
    }
    let unset = good.replacen("file = \"secret\"", "env = \"COSELL_SYNC_TEST_UNSET\"", 1);
    let warned = look(&unset).expect("a daemon has an environment of its own");
    assert!(warned.iter().any(|one| one.contains("COSELL_SYNC_TEST_UNSET is not set here")));
}

/// Every mistake is told at once, in the order of the file, and nothing that only follows from one.
#[test]
fn all_mistakes_are_told_at_once() {
    let wrong = r#"
[server]
lissten = "0.0.0.0:8080"
lanes = 0
public_url = "http://cosell.example.com"
[stor]
[accounts.contoso.partner_center]
tenant_id = 5
client_id = "c"
client_secrett = { file = "/run/secrets/pc" }
[accounts.contoso.partner_center.webhook]
certificate_hosts = "a.example"
roots = "r"
[accounts.contoso.salesforce]
url = "http://contoso.my.salesforce.com"
auth = "client_credential"
poll_secs = "30s"
overlap_secs = 4000
[accounts.contoso.sync]
time_zone = "Europe/Atlantis"
primary_crm = "dynamics365"
[accounts.contoso.sharing]
customer_consent = 1
default_team = [{ first_name = "Sam" }]
"#;
    let environment = [("COSELL_SYNC__SERVER__STOP_SECS", "0"), ("COSELL_SYNC__ADMIN__TOKEN", "x")];
    let told = parse(wrong, &environment).expect_err("wrong");
    let expected = [
        "3:1: `lissten` is not a setting; did you mean `listen`?",
        "4:1: `server.lanes` is 0; choose 1 to 256",
        "5:1: `server.public_url` is http://cosell.example.com/, which would send",
        "6:1: `path` is missing; add it",
        "6:2: `stor` is not a setting; did you mean `store`?",
        "8:13: text is expected here; put it in quotation marks",
        "10:1: `client_secrett` is not a setting; did you mean `client_secret`?",
        "11:1: `certificate_paths` is missing",
        "12:21: a list is expected; write it in brackets",
        "14:1: `client_id` is missing",
        "15:1: `accounts.contoso.salesforce.url` is http://contoso.my.salesforce.com/, which",
        "16:8: `client_credential` is not a choice here; did you mean `client_credentials`?",
        "17:13: a whole number is expected",
        "18:1: `accounts.contoso.salesforce.overlap_secs` is 4000",
        "20:1: `accounts.contoso.sync.time_zone` is \"Europe/Atlantis\"",
        "21:1: `accounts.contoso.sync.primary_crm` does not name one of the configured CRMs",
        "23:20: this is neither true or false nor the name of a field",
        "24:17: `last_name` is missing",
        "environment variable COSELL_SYNC__ADMIN__TOKEN: a secret never stands here",
        "environment variable COSELL_SYNC__SERVER__STOP_SECS: `server.stop_secs` is 0",
    ];
    let lines: Vec<&str> = told.lines().collect();
    for (line, expected) in lines.iter().zip(expected) {
        let line = line.strip_prefix("cosell.toml:").unwrap_or(line);
        assert!(line.starts_with(expected), "{line}\nin place of\n{expected}\nof\n{told}");
    }
    assert_eq!(lines.len(), expected.len(), "{told}");
}

#[test]
fn a_missing_key_is_one_problem() {
    let required = [
        ("listen = \"0.0.0.0:8080\"\n", "`listen`"),
        ("path = \"/var/lib/cosell-sync\"\n", "`path`"),
        ("tenant_id = \"contoso.example\"\n", "`tenant_id`"),
        ("url = \"https://contoso.my.salesforce.com\"\n", "`url`"),
        ("auth = \"client_credentials\"\n", "`auth`"),
        ("[accounts.contoso.sync]\n", "`sync`"),
        ("[store]\npath = \"/var/lib/cosell-sync\"\n", "`store`"),
        ("client_secret = { file = \"/run/secrets/pc\" }\n", "client_secret"),
        ("client_secret = { env = \"SF_SECRET\" }\n", "client_secret"),
    ];
    for (line, name) in required {
        assert!(GOOD.contains(line), "{line}");
        let told = parse(&GOOD.replacen(line, "", 1), &[]).expect_err(name);
        assert!(told.contains(name) && told.lines().count() == 1, "{name}: {told}");
    }
    let nothing = parse("", &[]).expect_err("an empty file");
    assert_eq!(nothing.lines().count(), 3, "server, store and accounts: {nothing}");
    let broken = parse("[server\nlisten = = 3\n[store]\npath = 'x\n", &[]).expect_err("no TOML");
    assert!(broken.contains("cosell.toml:1:") && broken.contains("cosell.toml:4:"), "{broken}");
}

#[test]
fn the_environment_goes_on_top() {
    let config =
        parse(GOOD, &[("COSELL_SYNC__ACCOUNTS__CONTOSO__SYNC__LEADS", "false"), ("OTHER", "x")]);
    assert!(!config.expect("good").accounts["contoso"].sync.leads);
    let wrong =
        parse(GOOD, &[("COSELL_SYNC__SERVER__LISTN", "\"0.0.0.0:1\"")]).expect_err("a typo");
    assert_eq!(
        wrong,
        "environment variable COSELL_SYNC__SERVER__LISTN: `listn` is not a setting; did you mean `listen`?"
    );
}

#[test]
fn a_secret_has_one_source_and_is_not_shown() {
    let config = parse(GOOD, &[]).expect("good");
    let source = config.accounts["contoso"].partner_center.client_secret.clone().expect("a source");
    let error = source.read("client_secret", &PathBuf::from("/nowhere")).expect_err("no such file");
    assert!(error.to_string().contains("/run/secrets/pc"), "{error}");
}

#[test]
fn a_secret_in_the_wrong_place_is_never_repeated() {
    const CANARY: &str = "abc5ECRET77";
    let told = "a secret never stands here; write { file = \"...\" } or { env = \"...\" }";
    let table = [
        (format!("\"{CANARY}\""), "as text"),
        ("5577".to_owned(), "as a number"),
        (format!("[\"{CANARY}\"]"), "in a list"),
        (format!("{{ value = \"{CANARY}\" }}"), "under a made-up key"),
        (format!("{{ {CANARY} = true }}"), "as a key"),
        (format!("{{ file = [\"{CANARY}\"] }}"), "a list in a source"),
        (format!("{{ env = {{ x = \"{CANARY}\" }} }}"), "a table in a source"),
        ("{ file = 5577 }".to_owned(), "a number in a source"),
    ];
    let source = "{ file = \"/run/secrets/pc\" }";
    for (value, why) in &table {
        let error = parse(&GOOD.replace(source, value), &[]).expect_err(why);
        assert!(error.contains("cosell.toml:10:"), "{why}: {error}");
        assert!(error.ends_with(told), "{why}: {error}");
        for name in [
            "COSELL_SYNC__ACCOUNTS__CONTOSO__PARTNER_CENTER__CLIENT_SECRET",
            "COSELL_SYNC__STORE__ENCRYPTION_KEY",
        ] {
            let error = parse(GOOD, &[(name, value.as_str())]).expect_err(why);
            assert_eq!(error, format!("environment variable {name}: {told}"), "{why}");
        }
    }
    let elsewhere = GOOD.replace(
        &format!("client_secret = {source}"),
        &format!("token = \"{CANARY}\"\nwebhook_token = \"{CANARY}\""),
    );
    let misplaced = parse(&elsewhere, &[]).expect_err("no keys of this table");
    assert!(misplaced.contains("`token` is not a setting"), "{misplaced}");
    assert!(!misplaced.contains(CANARY), "{misplaced}");
    let bare = parse(GOOD, &[("COSELL_SYNC__STORE__ENCRYPTION_KEY", CANARY)]).expect_err("bare");
    assert!(bare.ends_with(told), "{bare}");
    let typo = parse(&GOOD.replace(source, "{ fiel = \"x\" }"), &[]).expect_err("a typo");
    assert_eq!(typo, "cosell.toml:10:17: `fiel` is not a setting; did you mean `file`?");
}

#[test]
fn the_example_is_good_and_names_every_setting() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
    let config = Config::load(&path, std::iter::empty()).expect("good");
    let account = &config.accounts["contoso"];
    assert!(account.dynamics365.is_some() && account.salesforce.is_some());
    let text = std::fs::read_to_string(&path).expect("a file");
    let sources = [
        include_str!("server.rs"),
        include_str!("partner_center.rs"),
        include_str!("systems.rs"),
        include_str!("account.rs"),
    ];
    for line in sources.iter().flat_map(|source| source.lines()) {
        let field = line.strip_prefix("    pub ").and_then(|rest| rest.split_once(": "));
        if let Some((name, _)) = field.filter(|(name, _)| !["webhook", "pubsub"].contains(name)) {
            assert!(text.contains(&format!("{name} = ")), "`{name}` is not in the example");
        }
    }
}

#[test]
fn change_events_need_a_program_that_was_built_with_them() {
    let with = |line: &str| {
        let text = format!("{GOOD}[accounts.contoso.salesforce.pubsub]\n{line}\n");
        parse(&text, &[]).map(|config| config.accounts["contoso"].salesforce.clone())
    };
    if !cfg!(feature = "pubsub") {
        let refused = with("").expect_err("not built in");
        assert!(refused.contains("--features pubsub"), "{refused}");
        return;
    }
    let good = with("").expect("good").and_then(|crm| crm.pubsub).expect("the table");
    assert_eq!(good.url.as_str(), "https://api.pubsub.salesforce.com:7443/");
    assert_eq!(good.opportunity_topic, "/data/OpportunityChangeEvent");
    let table = [
        ("events_at_once = 0", "events_at_once", "at least one event"),
        ("events_at_once = 101", "events_at_once", "the service gives no more"),
        ("lead_topic = \"Lead\"", "/data/", "not a topic of change events"),
        ("url = \"http://api.pubsub.salesforce.com\"", "in the open", "a session in the open"),
    ];
    for (line, told, why) in table {
        let refused = with(line).expect_err(why);
        assert!(refused.contains(told), "{why}: {refused}");
    }
}
