//! The lifecycle table of the product, each row in each direction, in each CRM: opportunities, leads,
//! and what a seller still does to a deal that has ended.

use std::future::Future;

use cosell_sync::connect::salesforce::sandbox::CustomField;
use cosell_sync::domain::id::ReferralId;
use futures_util::future::join_all;
use serde_json::{Value as Json, json};

use crate::support::{Setup, World, only, text};

/// What somebody does.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Microsoft, or a colleague in the portal, moves the referral.
    There(&'static str, &'static str),
    /// The seller enters another value and close date.
    Edits,
    /// The seller moves the record to an active stage, or qualifies the lead.
    Accepts,
    /// The seller wins the opportunity.
    Wins,
    /// The seller closes the opportunity as lost, or disqualifies the lead.
    Loses,
    /// The seller opens what has ended again, and enters another value.
    Reopens,
}

/// An act, and what both sides come to then: the referral's state and the record's stage.
type Step = (Act, &'static str, &'static str);

use Act::{Accepts, Edits, Loses, Reopens, There, Wins};

/// What arrives, what is done with it one act after another, and what for.
struct Row {
    arrives: Arrives,
    steps: &'static [Step],
    why: &'static str,
}

/// What arrives from Partner Center.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Arrives {
    Opportunity,
    MarketplaceLead,
    CustomerInquiry,
    QualifiedLead,
}

use Arrives::{CustomerInquiry, MarketplaceLead, Opportunity, QualifiedLead};

const fn row(arrives: Arrives, steps: &'static [Step], why: &'static str) -> Row {
    Row { arrives, steps, why }
}

/// The words of [`stage`] for the record.
const TABLE: &[Row] = &[
    // Opportunity, New: the on-hold stage.
    row(Opportunity, &[], "an opportunity waits in the on-hold stage"),
    row(Opportunity, &[(Edits, "New/Pending", "on_hold")], "the seller's edits are kept"),
    // Active/Accepted: the active stage.
    row(
        Opportunity,
        &[(There("Active", "Accepted"), "Active/Accepted", "active")],
        "accepted there",
    ),
    row(
        Opportunity,
        &[(Accepts, "Active/Accepted", "active")],
        "moved to an active stage: accepted",
    ),
    row(
        Opportunity,
        &[
            (Edits, "New/Pending", "on_hold"),
            (There("Active", "Accepted"), "Active/Accepted", "active"),
        ],
        "what the seller edited before the accept is merged on it",
    ),
    row(
        Opportunity,
        &[(Edits, "New/Pending", "on_hold"), (Accepts, "Active/Accepted", "active")],
        "accepted here with what the seller edited before",
    ),
    // Closed/Won: won.
    row(
        Opportunity,
        &[
            (There("Active", "Accepted"), "Active/Accepted", "active"),
            (There("Closed", "Won"), "Closed/Won", "won"),
            (Reopens, "Closed/Won", "active"),
        ],
        "won there; what is done here afterwards is not sent",
    ),
    row(
        Opportunity,
        &[
            (Accepts, "Active/Accepted", "active"),
            (Wins, "Closed/Won", "won"),
            (Reopens, "Closed/Won", "active"),
        ],
        "won here; what is done here afterwards is not sent",
    ),
    row(
        Opportunity,
        &[(Wins, "Closed/Won", "won")],
        "won here while still New: accepted, then won",
    ),
    // Closed/Lost: lost.
    row(
        Opportunity,
        &[
            (There("Active", "Accepted"), "Active/Accepted", "active"),
            (There("Closed", "Lost"), "Closed/Lost", "lost"),
            (Reopens, "Closed/Lost", "active"),
        ],
        "lost there; what is done here afterwards is not sent",
    ),
    row(
        Opportunity,
        &[
            (Accepts, "Active/Accepted", "active"),
            (Loses, "Closed/Lost", "lost"),
            (Reopens, "Closed/Lost", "active"),
        ],
        "lost here; what is done here afterwards is not sent",
    ),
    // Closed/Declined: declined or lost.
    row(
        Opportunity,
        &[
            (There("Closed", "Declined"), "Closed/Declined", "lost"),
            (Reopens, "Closed/Declined", "active"),
        ],
        "declined there; what is done here afterwards is not sent",
    ),
    row(
        Opportunity,
        &[(Loses, "Closed/Declined", "lost"), (Reopens, "Closed/Declined", "active")],
        "closed here while New: declined; what is done here afterwards is not sent",
    ),
    // Closed/Expired and Closed/Error: closed, and never from here.
    row(
        Opportunity,
        &[
            (There("Closed", "Expired"), "Closed/Expired", "lost"),
            (Reopens, "Closed/Expired", "active"),
        ],
        "expired; what is done here afterwards is not sent",
    ),
    row(
        Opportunity,
        &[(There("Closed", "Error"), "Closed/Error", "lost"), (Reopens, "Closed/Error", "active")],
        "closed as a mistake while New; what is done here afterwards is not sent",
    ),
    row(
        Opportunity,
        &[
            (Accepts, "Active/Accepted", "active"),
            (There("Closed", "Error"), "Closed/Error", "lost"),
        ],
        "closed as a mistake while active",
    ),
    // Lead, New: a lead.
    row(MarketplaceLead, &[], "a lead of the marketplace is a lead"),
    row(CustomerInquiry, &[], "a customer who asks is a lead"),
    row(QualifiedLead, &[], "a lead that Microsoft qualified is a lead"),
    // A lead that is accepted: an opportunity in the active stage.
    row(
        MarketplaceLead,
        &[(There("Active", "Accepted"), "Active/Accepted", "active")],
        "accepted there",
    ),
    row(QualifiedLead, &[(Accepts, "Active/Accepted", "active")], "qualified here: accepted"),
    row(
        QualifiedLead,
        &[(There("Active", "Accepted"), "Active/Accepted", "active"), (Wins, "Closed/Won", "won")],
        "the opportunity that it became is won here",
    ),
    row(
        MarketplaceLead,
        &[(Accepts, "Active/Accepted", "active"), (There("Closed", "Won"), "Closed/Won", "won")],
        "the opportunity that it became is won there",
    ),
    row(
        CustomerInquiry,
        &[(Accepts, "Active/Accepted", "active"), (There("Closed", "Lost"), "Closed/Lost", "lost")],
        "the opportunity that it became is lost there",
    ),
    row(
        CustomerInquiry,
        &[
            (There("Active", "Accepted"), "Active/Accepted", "active"),
            (Loses, "Closed/Lost", "lost"),
        ],
        "the opportunity that it became is lost here",
    ),
    // A lead that ends.
    row(
        QualifiedLead,
        &[(There("Closed", "Declined"), "Closed/Declined", "lead closed")],
        "declined there",
    ),
    row(
        MarketplaceLead,
        &[(Loses, "Closed/Declined", "lead closed")],
        "disqualified here: declined",
    ),
    row(
        CustomerInquiry,
        &[(There("Closed", "Expired"), "Closed/Expired", "lead closed")],
        "expired",
    ),
    row(QualifiedLead, &[(There("Closed", "Error"), "Closed/Error", "lead closed")], "a mistake"),
];

/// A CRM with what people do there, and what they see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Crm {
    Dynamics365,
    Salesforce,
}

use Crm::{Dynamics365, Salesforce};

impl Crm {
    /// The daemon with this CRM, which has the optional field for the reason of an end.
    async fn start(self) -> World {
        let setup = match self {
            Dynamics365 => Setup::dynamics_only().prepare(|sandbox| {
                for table in ["opportunity", "lead"] {
                    sandbox.dynamics365.add_text_column(table, "pc_statusreason");
                }
            }),
            Salesforce => Setup::salesforce_only().prepare(|sandbox| {
                for object in ["Opportunity", "Lead"] {
                    sandbox.salesforce.add_field(object, "Status_Reason__c", CustomField::Text);
                }
            }),
        };
        setup.start().await
    }

    fn opportunity(self, world: &World, id: &ReferralId) -> Option<Json> {
        match self {
            Dynamics365 => world.dynamics(id),
            Salesforce => world.sales(id),
        }
    }

    fn lead(self, world: &World, id: &ReferralId) -> Option<Json> {
        match self {
            Dynamics365 => world.dynamics_row("lead", id),
            Salesforce => {
                only(world.sandbox.salesforce.rows("Lead"), "Referral_Identifier__c", id.as_str())
            }
        }
    }

    /// The stage of the deal's record: that of the opportunity, or `lead` and `lead closed`.
    fn stage(self, world: &World, id: &ReferralId) -> &'static str {
        if self.opportunity(world, id).is_some() {
            let stages = ["on_hold", "active", "won", "lost"];
            return stages.into_iter().find(|stage| world.stage(id, stage)).unwrap_or("unknown");
        }
        let Some(lead) = self.lead(world, id) else { return "nowhere" };
        let open = match self {
            Dynamics365 => lead["statecode"] == 0,
            Salesforce => !text(&lead["Status"]).starts_with("Closed"),
        };
        if open { "lead" } else { "lead closed" }
    }

    fn edit(self, world: &World, id: &ReferralId, dynamics: Json, sales: Json) {
        match self {
            Dynamics365 => world.edit_dynamics(id, dynamics),
            Salesforce => world.edit_sales(id, sales),
        }
    }

    fn accepts(self, world: &World, id: &ReferralId) {
        let Some(lead) = self.lead(world, id) else {
            let stage = json!({ "StageName": "Needs Analysis" });
            return self.edit(world, id, json!({ "statuscode": 1 }), stage);
        };
        match self {
            Dynamics365 => {
                let key = text(&lead["leadid"]);
                world.sandbox.dynamics365.qualify_as_person(key).expect("the seller may");
            }
            Salesforce => {
                let key = text(&lead["Id"]);
                world.sandbox.salesforce.convert_lead_as_person(key).expect("the seller may");
            }
        }
    }

    fn wins(self, world: &World, id: &ReferralId) {
        match self {
            Dynamics365 => {
                let row = world.dynamics(id).expect("the opportunity");
                let key = text(&row["opportunityid"]);
                world.sandbox.dynamics365.win_as_person(key).expect("the seller may");
            }
            Salesforce => world.edit_sales(id, json!({ "StageName": "Closed Won" })),
        }
    }

    fn loses(self, world: &World, id: &ReferralId) {
        let opportunity = self.opportunity(world, id);
        match (self, opportunity, self.lead(world, id)) {
            (Dynamics365, Some(row), _) => {
                let key = text(&row["opportunityid"]);
                world.edit_dynamics(id, json!({ "pc_statusreason": REASON }));
                world.sandbox.dynamics365.lose_as_person(key).expect("the seller may");
            }
            (Salesforce, Some(_), _) => {
                let edit = json!({ "StageName": "Closed Lost", "Status_Reason__c": REASON });
                world.edit_sales(id, edit);
            }
            (Dynamics365, None, Some(lead)) => {
                let key = text(&lead["leadid"]);
                let edit = json!({ "statecode": 2, "statuscode": 4, "pc_statusreason": REASON });
                let edited = world.sandbox.dynamics365.edit_as_person("lead", key, &edit);
                edited.expect("the seller may");
            }
            (Salesforce, None, Some(lead)) => {
                let edit =
                    json!({ "Status": "Closed - Not Converted", "Status_Reason__c": REASON });
                let edited =
                    world.sandbox.salesforce.edit_as_person("Lead", text(&lead["Id"]), &edit);
                edited.expect("the seller may");
            }
            (_, None, None) => panic!("no record of {id}"),
        }
    }

    fn reopens(self, world: &World, id: &ReferralId) {
        let stage = json!({ "StageName": "Needs Analysis", "Amount": REOPENED });
        self.edit(world, id, json!({ "statecode": 0, "statuscode": 1 }), stage);
        if self == Dynamics365 {
            world.edit_dynamics(id, json!({ "estimatedvalue": REOPENED }));
        }
    }
}

/// What the seller enters before the deal is accepted.
const EDITED: f64 = 45_000.0;
/// What the seller enters after the deal has ended.
const REOPENED: f64 = 99_000.0;
/// What whoever ends a deal without a win says about it.
const REASON: &str = "No budget this year";

/// Whether a referral in this state has ended without a win.
fn fails(state: &str) -> bool {
    state.starts_with("Closed/") && state != "Closed/Won"
}

fn seed(world: &World, arrives: Arrives, number: usize) -> ReferralId {
    let name = format!("Deal {number}");
    world.seed(match arrives {
        Opportunity => json!({ "name": name }),
        MarketplaceLead => json!({
            "name": name, "type": "Independent", "qualification": "Direct",
            "inviteContext": { "invitedBy": { "organizationId": "msft" } },
        }),
        CustomerInquiry => {
            json!({ "name": name, "type": "Independent", "qualification": "Direct" })
        }
        QualifiedLead => {
            json!({ "name": name, "type": "Independent", "qualification": "MarketingQualified" })
        }
    })
}

/// Plays one row and returns its referral with what it has to look like at the end.
async fn play(world: &World, crm: Crm, number: usize, row: &Row) -> (ReferralId, Step) {
    let id = seed(world, row.arrives, number);
    let arrived = if row.arrives == Opportunity { "on_hold" } else { "lead" };
    let mut last = (There("New", "Pending"), "New/Pending", arrived);
    let told = |step: &Step| format!("{crm:?}, {:?}, {}: {step:?}", row.arrives, row.why);
    world.until_true(&told(&last), || crm.stage(world, &id) == arrived).await;
    for step in row.steps {
        let (act, state, stage) = step;
        world.idle().await;
        match act {
            There(status, substatus) => {
                let mut moved = json!({ "status": status, "substatus": substatus });
                if fails(state) {
                    moved["statusReason"] = json!(REASON);
                }
                world.edit_as_microsoft(&id, moved);
            }
            Edits => crm.edit(
                world,
                &id,
                json!({ "estimatedvalue": EDITED, "estimatedclosedate": "2027-02-28" }),
                json!({ "Amount": EDITED, "CloseDate": "2027-02-28" }),
            ),
            Accepts => crm.accepts(world, &id),
            Wins => crm.wins(world, &id),
            Loses => crm.loses(world, &id),
            Reopens => crm.reopens(world, &id),
        }
        let there = || world.state(&id) == *state && crm.stage(world, &id) == *stage;
        world.until_true(&told(step), there).await;
        last = *step;
    }
    (id, last)
}

/// What a row has to look like once nobody writes any more.
fn check(world: &World, crm: Crm, row: &Row, id: &ReferralId, last: &Step) {
    let told = format!("{crm:?}, {:?}, {}", row.arrives, row.why);
    let (_, state, stage) = last;
    assert_eq!((world.state(id).as_str(), crm.stage(world, id)), (*state, *stage), "{told}");
    let did = |act: fn(&Act) -> bool| row.steps.iter().any(|(done, ..)| act(done));
    let accepted = *state == "Active/Accepted";
    if did(|act| matches!(act, Edits)) {
        let sent = world.agree(id, EDITED, "2027-02-28");
        assert_eq!(sent, accepted, "{told}: sent with the accept, and not before");
    }
    if fails(state) {
        let record = crm.opportunity(world, id).or_else(|| crm.lead(world, id)).expect("a record");
        let field = if crm == Dynamics365 { "pc_statusreason" } else { "Status_Reason__c" };
        let referral = world.referral(id);
        let reasons = [text(&referral["statusReason"]), text(&record[field])];
        assert_eq!(reasons, [REASON; 2], "{told}: with the reason");
    }
    if did(|act| matches!(act, Reopens)) {
        assert!(!world.agree_on_value(id, REOPENED), "{told}: not sent");
        let record = crm.opportunity(world, id).expect("a record");
        let audit = match crm {
            Dynamics365 => world.dynamics_audit(text(&record["opportunityid"])),
            Salesforce => world.sales_audit(text(&record["Id"])),
        };
        assert_eq!(audit.matches("not sent").count(), 1, "{told}: said once: {audit}");
    }
}

/// The whole table in one CRM: every row is a deal of its own in the same installation.
async fn plays(crm: Crm) {
    let world = crm.start().await;
    let rows = TABLE.iter().enumerate();
    let played = join_all(rows.map(|(at, row)| play(&world, crm, at, row))).await;
    world.silence().await;
    for (row, (id, last)) in TABLE.iter().zip(&played) {
        check(&world, crm, row, id, last);
    }
    world.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_in_both_directions_in_dynamics() {
    plays(Dynamics365).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_row_in_both_directions_in_salesforce() {
    plays(Salesforce).await;
}

/// Stages in which a seller's own word for a mistake closes the referral as one.
const DYNAMICS_MISTAKES: &str = r#"
extends = "dynamics365-opportunity.toml"

[[stage]]
stage = "on_hold"
when = { statecode = 0, statuscode = 2 }
write = { statuscode = 2 }

[[stage]]
stage = "active"
when = { statecode = 0 }
write = { statuscode = 1 }

[[stage]]
stage = "won"
when = { statecode = 1 }
close = { won = true, status = 3 }

[[stage]]
stage = "error"
when = { statecode = 2, statuscode = 4 }
close = { won = false, status = 4 }

[[stage]]
stage = "lost"
when = { statecode = 2 }
close = { won = false, status = 5 }

[[stage]]
stage = "declined"
close = { won = false, status = 5 }

[[stage]]
stage = "expired"
close = { won = false, status = 5 }
"#;

/// The same in Salesforce.
const SALES_MISTAKES: &str = r#"
extends = "salesforce-opportunity.toml"

[[stage]]
stage = "won"
when = { IsWon = true }
write = { StageName = "Closed Won" }

[[stage]]
stage = "error"
when = { IsClosed = true, NextStep = "mistake" }
write = { StageName = "Closed Lost", NextStep = "mistake" }

[[stage]]
stage = "lost"
when = { IsClosed = true }
write = { StageName = "Closed Lost" }

[[stage]]
stage = "on_hold"
when = { StageName = "Prospecting" }
write = { StageName = "Prospecting" }

[[stage]]
stage = "active"
when = { IsClosed = false }
write = { StageName = "Qualification" }

[[stage]]
stage = "declined"
write = { StageName = "Closed Lost" }

[[stage]]
stage = "expired"
write = { StageName = "Closed Lost" }
"#;

/// Closed/Error both ways, where the mapping has a stage of its own for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mistake_has_a_stage_of_its_own_in_both_directions() {
    let story = async |crm: Crm, file: &str, mapping: &str| {
        let mut world = crm.start().await;
        world.stop_daemon().await;
        world.write_mapping(file, mapping);
        world.start_daemon().await;
        world.register_webhook();
        let from_here = world.arrival(json!({ "name": "A mistake, says the seller" })).await;
        let active = world.arrival(json!({ "name": "A mistake, seen late" })).await;
        let from_there = world.arrival(json!({ "name": "A mistake, says Microsoft" })).await;
        crm.accepts(&world, &active);
        world.until_true("accepted", || world.state(&active) == "Active/Accepted").await;
        world.idle().await;
        for id in [&from_here, &active] {
            match crm {
                Dynamics365 => crm.loses(&world, id),
                Salesforce => {
                    let edit = json!({ "StageName": "Closed Lost", "NextStep": "mistake" });
                    world.edit_sales(id, edit);
                }
            }
        }
        let mistake = json!({ "status": "Closed", "substatus": "Error" });
        world.edit_as_microsoft(&from_there, mistake);
        let all = [&from_here, &active, &from_there];
        world
            .until_true("all are mistakes on both sides", || {
                all.iter().all(|id| world.state(id) == "Closed/Error" && world.stage(id, "lost"))
            })
            .await;
        let record = crm.opportunity(&world, &from_there).expect("a record");
        match crm {
            Dynamics365 => assert_eq!(record["statuscode"], 4, "{record}"),
            Salesforce => assert_eq!(record["NextStep"], "mistake", "{record}"),
        }
        world.finish().await;
    };
    let both: [std::pin::Pin<Box<dyn Future<Output = ()>>>; 2] = [
        Box::pin(story(Dynamics365, "contoso-dynamics.toml", DYNAMICS_MISTAKES)),
        Box::pin(story(Salesforce, "contoso-salesforce.toml", SALES_MISTAKES)),
    ];
    join_all(both).await;
}
