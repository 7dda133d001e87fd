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
            "cosell.toml: `accounts.contoso.salesforce.url` is http://contoso.my.salesforce.com/, which would send \
             credentials in the open; use https; plain http is accepted for loopback addresses only",
        ),
        (
            "[accounts.contoso.sync]",
            "[accounts.contoso.sync]\ntime_zone = \"Europe/Atlantis\"",
            "cosell.toml: `accounts.contoso.sync.time_zone` is \"Europe/Atlantis\", which is no time zone; use a name \
             such as \"Europe/Berlin\"",
        ),
        (
            "client_id = \"c\"\nclient_secret = { env",
            "client_id = \"c\"\npoll_secs = 0\nclient_secret = { env",
            "cosell.toml: `accounts.contoso.salesforce.poll_secs` is 0; choose 1 to 86400",
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
            "cosell.toml: accounts.contoso.partner_center needs a client_secret or a certificate; give exactly one \
             of the two",
        ),
        (
            "[store]",
            "[admin]\nlisten = \"0.0.0.0:8081\"\n[store]",
            "cosell.toml: `admin.listen` is 0.0.0.0:8081, which is open to the network without TLS; use a loopback \
             address, or put a TLS proxy in front and set admin.behind_proxy = true",
        ),
    ];
    for (right, wrong, expected) in table {
        assert!(GOOD.contains(right), "{right}");
        assert_eq!(parse(&GOOD.replace(right, wrong), &[]).expect_err(wrong), expected);
    }
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
