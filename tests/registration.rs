//! A won deal is registered with Microsoft from fields of the opportunity, and its status comes back.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use cosell_sync::app::clock::SystemClock;
use cosell_sync::app::{App, InProcess};
use cosell_sync::config::Config;
use cosell_sync::connect::salesforce::sandbox::CustomField;
use cosell_sync::connect::sandbox::{Fault, FaultEffect};
use cosell_sync::domain::audit::AuditKind;
use cosell_sync::domain::clock::Clock;
use cosell_sync::domain::id::ReferralId;
use cosell_sync::domain::time::Timestamp;
use cosell_sync::sandbox::{Addresses, Sandbox};
use cosell_sync::store::AuditQuery;
use serde_json::{Value as Json, json};

/// A state that is not reached within this time is never reached.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often the systems are looked at.
const GLANCE: Duration = Duration::from_millis(20);

const FIELDS: [(&str, &str, CustomField); 11] = [
    ("register", "Register_Deal__c", CustomField::CheckBox),
    ("status", "Registration_Status__c", CustomField::Text),
    ("value", "Contract_Value__c", CustomField::Amount),
    ("start", "Contract_Start__c", CustomField::Date),
    ("end", "Contract_End__c", CustomField::Date),
    ("signed", "Contract_Signed__c", CustomField::Date),
    ("deployed_on_azure", "On_Azure__c", CustomField::CheckBox),
    ("customer_deployment", "Deployment__c", CustomField::Text),
    ("pay_as_you_go", "Pricing__c", CustomField::Text),
    ("managed_customer", "Managed_Customer__c", CustomField::CheckBox),
    ("eligible_solution", "Eligible_Solution__c", CustomField::CheckBox),
];

struct World {
    sandbox: Sandbox,
    app: App,
    referral: ReferralId,
    _folder: tempfile::TempDir,
}

impl World {
    /// A deal of our own in Partner Center and in Salesforce, in step. With `mapped`, the mapping has
    /// a `[registration]` table.
    async fn start(mapped: bool) -> Self {
        let sandbox = Sandbox::start(Addresses::free()).await.expect("the emulators start");
        for (_, name, kind) in FIELDS {
            sandbox.salesforce.add_field("Opportunity", name, kind);
        }
        Self::with(sandbox, mapped).await
    }

    async fn with(sandbox: Sandbox, mapped: bool) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        sandbox.write_files(folder.path(), free, free).expect("the files are written");
        salesforce_only(folder.path());
        if mapped {
            map_registration(folder.path());
        }
        let file = folder.path().join("cosell-sync.toml");
        let config = Config::load(&file, std::iter::empty()).expect("a configuration");
        let app = App::start(&config).await.expect("the daemon starts");
        let url = format!("http://{}/webhooks/partner-center/contoso", app.public_address);
        let events = ["referral-created", "referral-updated"];
        let slot = json!({ "WebhookUrl": url, "WebhookEvents": events });
        sandbox.partner_center.set_slot(&slot).expect("registered");
        let referral = sandbox.partner_center.seed_own(json!({ "name": "Fabrikam analytics" }));
        let world = Self { sandbox, app, referral, _folder: folder };
        let linked = |row: &Json, referral: &Json| {
            !row["Id"].is_null() && referral["externalReferenceId"] == row["Id"]
        };
        world.reached("both sides know of each other", linked).await;
        world
    }

    fn opportunity(&self) -> Json {
        let mut rows = self.sandbox.salesforce.rows("Opportunity").into_iter();
        let ours = |row: &Json| row["Referral_Identifier__c"] == self.referral.as_str();
        rows.find(ours).unwrap_or_default()
    }

    fn referral(&self) -> Json {
        self.sandbox.partner_center.referral(&self.referral).expect("the referral")
    }

    /// The seller edits the opportunity, once the daemon is at rest and in a later second than its
    /// last write: Salesforce stamps whole seconds.
    async fn edit(&self, fields: &Json) {
        self.rest().await;
        let id = self.opportunity()["Id"].as_str().expect("an id").to_owned();
        self.sandbox.salesforce.edit_as_person("Opportunity", &id, fields).expect("edited");
    }

    /// How many writes to Salesforce had landed although their answers were lost.
    async fn landed(&self) -> usize {
        let query = AuditQuery {
            kind: Some(AuditKind::Resumed),
            limit: usize::MAX,
            ..AuditQuery::default()
        };
        let trail = self.app.around.store.audit(&query).await.expect("the trail");
        let of_crm = trail.iter().filter(|entry| entry.entry.actor == "salesforce");
        of_crm.filter(|entry| entry.entry.summary.contains("had landed")).count()
    }

    /// Waits until nothing is due and a second has begun after the last write.
    async fn rest(&self) {
        let store = &self.app.around.store;
        loop {
            let now = SystemClock.now();
            let waiting = store.waiting(100).await.expect("read");
            let row = self.opportunity();
            let stamp = Timestamp::parse(row["SystemModstamp"].as_str().expect("a stamp"));
            let later = now > stamp.expect("an instant").plus(Duration::from_secs(1));
            if later && waiting.iter().all(|notice| notice.notice.due > now) {
                break;
            }
            SystemClock.sleep(GLANCE).await;
        }
    }

    /// The seller wins the deal and fills in everything that the service asks for, but `left_out`.
    async fn win(&self, left_out: &[&str]) {
        let created = self.referral()["createdDateTime"].as_str().expect("a text")[..10].to_owned();
        let mut fields = json!({
            "StageName": "Closed Won", "Register_Deal__c": true, "Contract_Value__c": 6_000_000.5,
            "Contract_Start__c": created, "Contract_End__c": "2099-12-31",
            "Contract_Signed__c": created, "On_Azure__c": true, "Deployment__c": "Customer",
            "Pricing__c": "Other", "Managed_Customer__c": true, "Eligible_Solution__c": true,
        });
        for name in left_out {
            fields.as_object_mut().expect("an object").remove(*name);
        }
        self.edit(&fields).await;
    }

    /// Microsoft decides on the registration.
    fn review(&self, status: &str, reason: &str) {
        let review =
            self.sandbox.partner_center.review_registration(&self.referral, status, Some(reason));
        review.expect("reviewed");
    }

    /// Bad luck with the next PATCH of the referral.
    fn next_patch(&self, effect: FaultEffect) {
        let fault = Fault::once("PATCH", self.referral.as_str(), effect);
        self.sandbox.partner_center.faults().add(fault);
    }

    /// How many PATCHes of the referral were worked on.
    fn patches(&self) -> usize {
        let log = self.sandbox.partner_center.request_log();
        log.iter().filter(|it| it.method == "PATCH" && it.landed && it.if_match).count()
    }

    /// Waits for a state of the opportunity and the referral.
    async fn reached(&self, what: &str, held: impl Fn(&Json, &Json) -> bool) {
        let end = SystemClock.now().plus(PATIENCE);
        while !held(&self.opportunity(), &self.referral()) {
            let state = || format!("{:#}\n{:#}", self.opportunity(), self.referral());
            assert!(SystemClock.now() < end, "never: {what}\n{}", state());
            SystemClock.sleep(GLANCE).await;
        }
    }
}

/// Takes Dynamics 365 out of the configuration.
fn salesforce_only(folder: &Path) {
    let file = folder.join("cosell-sync.toml");
    let text = std::fs::read_to_string(&file).expect("a file");
    let from = text.find("[accounts.contoso.dynamics365]").expect("its table");
    let to = text.find("[accounts.contoso.salesforce]").expect("the next table");
    let text = format!("{}{}", &text[..from], &text[to..]);
    let text = text.replace("primary_crm = \"dynamics365\"", "primary_crm = \"salesforce\"");
    std::fs::write(file, text).expect("written");
}

fn map_registration(folder: &Path) {
    let file = folder.join("mappings/salesforce-opportunity.toml");
    let mut text = std::fs::read_to_string(&file).expect("a file");
    text.push_str("\n[registration]\ncurrency = \"CurrencyIsoCode\"\n");
    for (key, name, _) in FIELDS {
        text.push_str(&format!("{key} = \"{name}\"\n"));
    }
    std::fs::write(file, text).expect("written");
}

fn says(row: &Json, part: &str) -> bool {
    row["Sync_Audit__c"].as_str().is_some_and(|text| text.contains(part))
}

fn registrations(referral: &Json) -> usize {
    referral["registrations"].as_array().map_or(0, Vec::len)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_won_deal_is_registered_once_and_its_status_comes_back() {
    let world = World::start(true).await;
    world.win(&["Contract_End__c", "Managed_Customer__c"]).await;
    world
        .reached("everything missing is told", |row, referral| {
            referral["substatus"] == "Won"
                && says(row, "Not registered with Microsoft yet")
                && says(row, "one that Microsoft manages; the contract needs a last day")
        })
        .await;
    assert_eq!(registrations(&world.referral()), 0, "nothing is sent before it can be accepted");
    // The answer to the registration is lost: it must not be sent twice.
    world.next_patch(FaultEffect::ApplyThenDrop);
    world.edit(&json!({ "Contract_End__c": "2099-12-31", "Managed_Customer__c": true })).await;
    world
        .reached("it is registered", |row, referral| {
            registrations(referral) == 1
                && says(row, "sent to Microsoft for registration")
                && row["Registration_Status__c"] == "ReviewPending"
        })
        .await;
    let contract = world.referral()["registrations"][0]["contract"].clone();
    assert_eq!(contract["value"], json!(6_000_000.5));
    assert_eq!((&contract["currency"], &contract["term"]), (&json!("USD"), &json!("Finite")));
    let solution = world.referral()["registrations"][0]["solutionDetails"][0].clone();
    assert_eq!(solution["id"], "SOL-00001-XYZ");
    assert_eq!(solution["primaryDeploymentOn"], "Customer");
    world.edit(&json!({ "NextStep": "Wait for Microsoft" })).await;
    world.rest().await;
    // The answer to the write of the status is lost: the trail tells of it all the same.
    let faults = world.sandbox.salesforce.faults();
    faults.add(Fault::once("POST", "/composite", FaultEffect::ApplyThenDrop));
    let landed = world.landed().await;
    world.review("Approved", "within the rules");
    world
        .reached("the status comes back", |row, _| row["Registration_Status__c"] == "Approved")
        .await;
    let end = SystemClock.now().plus(PATIENCE);
    while world.landed().await == landed {
        assert!(SystemClock.now() < end, "the trail does not tell of the lost answer");
        SystemClock.sleep(GLANCE).await;
    }
    assert_eq!(faults.waiting(), 0, "an answer was lost");
    assert_eq!(registrations(&world.referral()), 1);
    let told = world.opportunity()["Sync_Audit__c"].as_str().unwrap_or_default().to_owned();
    assert_eq!(told.matches("Not registered with Microsoft yet").count(), 1, "told once: {told}");
    assert_eq!(told.matches("sent to Microsoft for registration").count(), 1, "told once: {told}");
    world.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_correction_that_microsoft_asks_for_is_sent_once() {
    let world = World::start(true).await;
    world.win(&[]).await;
    let shows = |status: &'static str| {
        move |row: &Json, referral: &Json| {
            row["Registration_Status__c"] == status && referral["registrationStatus"] == status
        }
    };
    world.reached("it is registered", shows("ReviewPending")).await;
    let before = world.patches();
    // Nothing is asked for: a change waits.
    world.edit(&json!({ "Contract_Value__c": 6_500_000 })).await;
    world.review("ActionRequired", "The last day is not the one of the contract");
    world
        .reached("the change goes out and the seller is told", |row, referral| {
            shows("ReviewPending")(row, referral)
                && referral["registrations"][0]["contract"]["value"] == json!(6_500_000)
                && says(row, "asks for a correction of the registration: The last day is not")
                && says(row, "contract value 6,500,000 (was 6,000,000.5)")
        })
        .await;
    assert_eq!(world.patches(), before + 1);
    // Meanwhile somebody corrects the value in Partner Center; the seller's old one stays behind.
    let mut theirs = world.referral()["registrations"].clone();
    theirs[0]["contract"]["value"] = json!(6_400_000);
    theirs[0]["solutionDetails"][0]["value"] = json!(6_400_000);
    let theirs = json!({ "registrations": theirs });
    world.sandbox.partner_center.edit_as_microsoft(&world.referral, theirs).expect("edited");
    world.review("ActionRequired", "The last day is still wrong");
    world
        .reached("the reason is told again", |row, referral| {
            shows("ActionRequired")(row, referral) && says(row, "The last day is still wrong")
        })
        .await;
    // The answer to the correction is lost: it must not be sent twice.
    world.next_patch(FaultEffect::ApplyThenDrop);
    world.edit(&json!({ "Contract_End__c": "2098-12-31" })).await;
    world
        .reached("the correction is there", |row, referral| {
            shows("ReviewPending")(row, referral)
                && says(row, "last day of the contract 31 Dec 2098 (was 31 Dec 2099)")
        })
        .await;
    assert_eq!(world.patches(), before + 2, "once");
    let contract = world.referral()["registrations"][0]["contract"].clone();
    assert_eq!(contract["value"], json!(6_400_000), "what Partner Center corrected stays");
    assert_eq!(registrations(&world.referral()), 1);
    // A correction that never arrives is planned anew.
    world.review("ActionRequired", "One day too many");
    world.reached("it is asked for once more", shows("ActionRequired")).await;
    world.next_patch(FaultEffect::Drop);
    world.edit(&json!({ "Contract_End__c": "2098-12-30" })).await;
    world
        .reached("it arrives after all", |row, referral| {
            shows("ReviewPending")(row, referral) && says(row, "31 Dec 2098)")
        })
        .await;
    assert_eq!(world.patches(), before + 3, "once");
    world.review("Approved", "within the rules");
    world.reached("the status goes on", shows("Approved")).await;
    let told = world.opportunity()["Sync_Audit__c"].as_str().unwrap_or_default().to_owned();
    assert_eq!(told.matches("last day of the contract").count(), 2, "each told once: {told}");
    assert_eq!(told.matches("is still wrong").count(), 1, "told once: {told}");
    assert_eq!(world.patches(), before + 3, "nothing is pushed again");
    world.app.stop().await;
}

/// What Microsoft refuses is not sent again for every edit, but when a person asks for a comparison:
/// somebody may have repaired what stood against it.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_registration_is_sent_again_only_when_it_is_asked_for() {
    let world = World::start(true).await;
    world.win(&["Contract_End__c"]).await;
    world.reached("it is won", |_, referral| referral["substatus"] == "Won").await;
    let body = r#"{"error":{"code":"invalidRequest","message":"Not for this partner"}}"#;
    let (status, content_type) = (400, "application/json".to_owned());
    let body = body.to_owned();
    world.next_patch(FaultEffect::Answer { status, retry_after: None, content_type, body });
    world.edit(&json!({ "Contract_End__c": "2099-12-31" })).await;
    world.reached("it is refused", |row, _| says(row, "Not for this partner")).await;
    for next in ["Call them", "Write to them"] {
        world.edit(&json!({ "NextStep": next })).await;
    }
    world.edit(&json!({ "NextStep": null })).await;
    assert_eq!(registrations(&world.referral()), 0, "the same is refused again");
    let routes = InProcess::new(&world.app.parts);
    let (status, _) = routes.ask("POST", "reconcile", Some(&json!({}))).await.expect("an answer");
    assert!(status < 300, "{status}");
    world.reached("it is registered", |_, referral| registrations(referral) == 1).await;
    world.app.stop().await;
}

/// As the mapping guide says: the table, then `provision --apply` and `mapping reload`.
#[tokio::test(flavor = "multi_thread")]
async fn provisioning_makes_the_fields_of_a_registration() {
    let sandbox = Sandbox::start(Addresses::free()).await.expect("the emulators start");
    let world = World::with(sandbox, true).await;
    let routes = InProcess::new(&world.app.parts);
    let ask = async |path: &str, body: Json| {
        let (status, bytes) = routes.ask("POST", path, Some(&body)).await.expect("an answer");
        let text = String::from_utf8(bytes.to_vec()).expect("text");
        assert_eq!(status, 200, "{path}: {text}");
        text
    };
    let made = ask("provision", json!({ "apply": true })).await;
    for (_, name, _) in FIELDS {
        assert!(made.contains(&format!("field {name} on Opportunity")), "{name}: {made}");
    }
    assert!(!made.contains("but should be"), "{made}");
    ask("mappings/reload", json!({})).await;
    world.edit(&json!({ "Pricing__c": false })).await;
    world.win(&["Pricing__c", "Deployment__c"]).await;
    world
        .reached("it is registered", |row, referral| {
            registrations(referral) == 1 && row["Registration_Status__c"] == "ReviewPending"
        })
        .await;
    let contract = world.referral()["registrations"][0]["contract"].clone();
    assert_eq!(contract["value"], json!(6_000_000.5));
    let again = ask("provision", json!({ "apply": true })).await;
    assert!(!again.contains("\"created\"") && !again.contains("but should be"), "{again}");
    world.app.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_the_table_nothing_is_registered() {
    let world = World::start(false).await;
    world.win(&[]).await;
    world
        .reached("the deal is won on both sides", |row, referral| {
            referral["substatus"] == "Won" && says(row, "Microsoft was told that the deal is won")
        })
        .await;
    assert_eq!(registrations(&world.referral()), 0);
    assert!(world.opportunity()["Registration_Status__c"].is_null());
    world.app.stop().await;
}
