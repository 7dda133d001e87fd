//! An organisation of Dynamics 365 as it is delivered, set up by the daemon's own means.
#![cfg(feature = "sandbox")]

use std::net::{Ipv4Addr, SocketAddr, TcpListener};

use cosell_sync::app::{App, InProcess};
use cosell_sync::config::Config;
use cosell_sync::connect::dynamics365::sandbox::{
    Dynamics365Sandbox, KeyActivation, SandboxOptions,
};
use cosell_sync::connect::sandbox::{Serving, serve};
use cosell_sync::sandbox::{Addresses, Sandbox};
use serde_json::{Value as Json, json};
use tempfile::TempDir;

/// Columns of every kind that a deal registration asks for.
const REGISTRATION: &str = r#"
[registration]
register = "pc_register"
status = "pc_registrationstatus"
value = "pc_contractvalue"
currency = "pc_contractcurrency"
usd_rate = "pc_usdrate"
start = "pc_contractstart"
signed = "pc_contractsigned"
perpetual = "pc_perpetual"
"#;

/// The emulators, of which Dynamics 365 is replaced by an empty organisation, and a daemon.
struct World {
    crm: Dynamics365Sandbox,
    app: App,
    routes: InProcess,
    _serving: Serving,
    _sandbox: Sandbox,
    _folder: TempDir,
}

impl World {
    async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let sandbox = Sandbox::start(Addresses::free()).await.expect("emulators");
        // Waiting for an index is tested with a clock moved by hand.
        let key_activation = KeyActivation::Immediate;
        let options = SandboxOptions { key_activation, ..SandboxOptions::empty_organization() };
        let crm = Dynamics365Sandbox::new(options, sandbox.clock.clone());
        let free = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let serving = serve(crm.router(), free).await.expect("a port");
        let public = TcpListener::bind(free).and_then(|free| free.local_addr()).expect("a port");
        sandbox.write_files(folder.path(), public, free).expect("written");
        let file = folder.path().join("cosell-sync.toml");
        let text = std::fs::read_to_string(&file).expect("the configuration");
        let [_, full, _] = sandbox.urls();
        let forms = "forms = [\"Opportunity\", \"Lead\"]";
        let text = text.replace(&full, &serving.url()).replacen(
            "poll_secs = 1\n",
            &format!("poll_secs = 86400\n{forms}\n"),
            1,
        );
        std::fs::write(&file, text).expect("written");
        let mapping = folder.path().join("mappings/dynamics365-opportunity.toml");
        let rules = std::fs::read_to_string(&mapping).expect("the mapping") + REGISTRATION;
        std::fs::write(&mapping, rules).expect("written");
        let config = Config::load(&file, std::iter::empty()).expect("good");
        let app = App::start(&config).await.expect("it starts");
        let routes = InProcess::new(&app.parts);
        Self { crm, app, routes, _serving: serving, _sandbox: sandbox, _folder: folder }
    }

    async fn ask(&self, method: &str, path: &str, body: &Json) -> Json {
        let (status, bytes) = self.routes.ask(method, path, Some(body)).await.expect("an answer");
        let json: Json = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(status, 200, "{path}: {json}");
        json
    }

    /// Outcomes of the steps that concern Dynamics 365.
    async fn provision(&self, apply: bool) -> Vec<(String, String)> {
        let answer = self.ask("POST", "provision", &json!({ "apply": apply })).await;
        let steps = answer["steps"].as_array().expect("steps").clone();
        let text = |step: &Json, name: &str| step[name].as_str().expect("a text").to_owned();
        let own = steps.iter().filter(|step| step["crm"] == "dynamics365");
        own.map(|step| (text(step, "outcome"), text(step, "what"))).collect()
    }

    /// What the doctor says of Dynamics 365, as level and sentence.
    async fn doctor(&self) -> Vec<(String, String)> {
        let answer = self.ask("GET", "doctor", &json!({})).await;
        let findings = answer["findings"].as_array().expect("findings").clone();
        let text = |finding: &Json, name: &str| finding[name].as_str().expect("a text").to_owned();
        let own = findings.iter().filter(|finding| finding["area"] == "dynamics365");
        own.map(|finding| (text(finding, "level"), text(finding, "what"))).collect()
    }
}

fn count(lines: &[(String, String)], first: &str) -> usize {
    lines.iter().filter(|(word, _)| word == first).count()
}

/// From an empty organisation to a doctor that is content about everything; and then no change.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_organisation_is_set_up_in_one_run() {
    let world = World::start().await;
    let sick = world.doctor().await;
    assert!(count(&sick, "problem") > 0, "{sick:?}");
    let before = world.crm.write_count();
    let plan = world.provision(false).await;
    assert!(count(&plan, "would create") > 30, "{plan:?}");
    assert_eq!(world.crm.write_count(), before, "a plan writes nothing");

    let made = world.provision(true).await;
    assert_eq!(count(&made, "waiting") + count(&made, "advice"), 0, "{made:?}");
    for column in REGISTRATION.split('"').skip(1).step_by(2) {
        let what = format!("column {column} on opportunity");
        assert!(made.contains(&("created".to_owned(), what)), "{column}: {made:?}");
    }
    let well = world.doctor().await;
    let not_well: Vec<_> = well.iter().filter(|(level, _)| level != "ok").collect();
    assert!(not_well.is_empty(), "{not_well:#?}");
    for words in ["The rights on opportunity", "The rights on lead", "webhook step Update of lead"]
    {
        assert!(well.iter().any(|(_, what)| what.contains(words)), "{words}: {well:#?}");
    }

    let before = world.crm.write_count();
    let again = world.provision(true).await;
    assert_eq!(count(&again, "present"), again.len(), "{again:?}");
    assert_eq!(world.crm.write_count(), before, "nothing was written");

    world.crm.configure(|options| {
        options.withheld_privileges = vec!["prvAppendToContact".to_owned()];
    });
    let sick = world.doctor().await;
    let told = sick.iter().filter(|(level, _)| level != "ok").collect::<Vec<_>>();
    assert_eq!(told.len(), 1, "once, though two mappings ask: {told:?}");
    assert!(told[0].0 == "problem" && told[0].1.contains("prvAppendToContact"), "{told:?}");
    world.app.stop().await;
}
