use std::path::PathBuf;

use super::Config;

const GOOD: &str = r#"
[server]
listen = "0.0.0.0:8080"
public_url = "https://cosell.example.com"
[store]
path = "/var/lib/cosell-sync"
[accounts.contoso.partner_center]
tenant_id = "t"
client_id = "c"
client_secret = { file = "/run/secrets/pc" }
[accounts.contoso.salesforce]
url = "https://contoso.my.salesforce.com"
auth = "client_credentials"
client_id = "c"
client_secret = { env = "SF_SECRET" }
[accounts.contoso.sync]
"#;

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
            "tenant_id = \"t\"\n",
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
        "8:13: invalid type: integer `5`, expected a string",
        "10:1: `client_secrett` is not a setting; did you mean `client_secret`?",
        "11:1: `certificate_paths` is missing",
        "12:21: invalid type: string \"a.example\", expected a sequence",
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
        ("tenant_id = \"t\"\n", "`tenant_id`"),
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
