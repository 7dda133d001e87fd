//! Winning, losing, reopening, qualifying.

use serde_json::{Value as Json, json};

use super::Org;

fn close(id: &str, status: i64) -> Json {
    json!({
        "Status": status,
        "OpportunityClose": {
            "subject": "Closed from Partner Center",
            "opportunityid@odata.bind": format!("/opportunities({id})"),
            "actualend": "2026-03-31T00:00:00Z",
            "actualrevenue": 125.5,
        },
    })
}

#[tokio::test]
async fn winning_writes_the_row_and_an_activity() {
    let org = Org::new().await;
    let id = org.create("opportunities", &json!({"name": "A", "estimatedvalue": 100})).await;
    let reply = org.post("WinOpportunity", &close(&id, 3)).await;
    assert_eq!((reply.status, reply.text.as_str()), (204, ""), "{}", reply.text);
    let row = org.sandbox.row("opportunity", &id).unwrap();
    for (name, value) in [
        ("statecode", json!(1)),
        ("statuscode", json!(3)),
        ("actualvalue", json!(125.5)),
        ("actualclosedate", json!("2026-03-31")),
    ] {
        assert_eq!(row[name], value, "{name}");
    }
    let activities = org.sandbox.rows("opportunityclose");
    assert_eq!(activities.len(), 1);
    assert_eq!(activities[0]["subject"], "Closed from Partner Center");
    assert_eq!(activities[0]["_opportunityid_value"], id);
    assert_eq!(activities[0]["statecode"], 1, "completed");
    let again = org.post("WinOpportunity", &close(&id, 3)).await;
    assert_eq!(again.status, 400, "not repeatable");
    assert_eq!(org.sandbox.rows("opportunityclose").len(), 1, "and leaves no second activity");
}

#[tokio::test]
async fn losing_defaults_the_value_and_checks_the_reason() {
    let org = Org::new().await;
    let id = org.sandbox.seed_opportunity(&json!({"estimatedvalue": 100})).unwrap();
    let wrong = org.post("LoseOpportunity", &close(&id, 3)).await;
    assert_eq!((wrong.status, wrong.code().as_str()), (400, "0x80048408"), "3 belongs to Won");
    let bare = json!({
        "Status": 5,
        "OpportunityClose": {"opportunityid@odata.bind": format!("opportunities({id})")},
    });
    assert_eq!(org.post("LoseOpportunity", &bare).await.status, 204);
    let row = org.sandbox.row("opportunity", &id).unwrap();
    assert_eq!((&row["statecode"], &row["statuscode"]), (&json!(2), &json!(5)));
    assert_eq!(row["actualvalue"], 100, "the estimate stands in");
    assert_eq!(row["actualclosedate"], "2026-03-01", "today");
    for body in [json!({"Status": 5}), json!({"OpportunityClose": {}})] {
        assert_eq!(org.post("LoseOpportunity", &body).await.status, 400, "both are required");
    }
}

#[tokio::test]
async fn the_state_model_of_an_opportunity() {
    let org = Org::new().await;
    let id = org.create("opportunities", &json!({"name": "A"})).await;
    let path = format!("opportunities({id})");
    let steps = [
        // (body, status, code, why)
        (json!({"statecode": 1, "statuscode": 3}), 400, "0x80100005", "won only by the action"),
        (json!({"statecode": 2}), 400, "0x80100005", "lost only by the action"),
        (json!({"statuscode": 3}), 400, "0x80048408", "a reason of another state"),
        (json!({"statuscode": 2}), 204, "", "On Hold"),
    ];
    for (body, status, code, why) in steps {
        let reply = org.patch(&path, &body).await;
        assert_eq!((reply.status, reply.code().as_str()), (status, code), "{why}: {}", reply.text);
    }
    org.sandbox.win_as_person(&id).unwrap();
    assert_eq!(org.patch(&path, &json!({"name": "B"})).await.status, 400, "closed is read-only");
    let reopened = org.patch(&path, &json!({"statecode": 0, "statuscode": 1})).await;
    assert_eq!(reopened.status, 204, "{}", reopened.text);
    assert_eq!(org.patch(&path, &json!({"name": "B"})).await.status, 204);
    org.sandbox.lose_as_person(&id).unwrap();
    let row = org.sandbox.row("opportunity", &id).unwrap();
    assert_eq!(row["statuscode"], 4, "the default reason of Lost");
    assert_ne!(row["_modifiedby_value"], org.sandbox.application_user(), "a person did it");
}

#[tokio::test]
async fn qualifying_makes_three_rows_that_know_each_other() {
    let org = Org::new().await;
    let lead = json!({
        "subject": "Help wanted", "firstname": "Ada", "lastname": "Buyer",
        "companyname": "Fabrikam", "estimatedamount": 5000, "address1_country": "DE",
    });
    let id = org.create("leads", &lead).await;
    let body = json!({
        "CreateAccount": true, "CreateContact": true, "CreateOpportunity": true, "Status": 3,
    });
    let bare = org.post(&format!("leads({id})/QualifyLead"), &body).await;
    assert_eq!(bare.status, 400, "the name must be qualified");
    let path = format!("leads({id})/Microsoft.Dynamics.CRM.QualifyLead");
    let reply = org.post(&path, &body).await;
    let made = reply.rows();
    let made_id = |at: usize, key: &str| made[at][key].as_str().unwrap().to_owned();
    let (account, contact) = (made_id(0, "accountid"), made_id(1, "contactid"));
    let opportunity = made_id(2, "opportunityid");
    assert_eq!(made[2]["@odata.type"], "#Microsoft.Dynamics.CRM.opportunity");
    let row = |table, id: &str| org.sandbox.row(table, id).unwrap();
    assert_eq!(row("account", &account)["_primarycontactid_value"], contact);
    assert_eq!(row("account", &account)["address1_country"], "DE");
    assert_eq!(row("contact", &contact)["_parentcustomerid_value"], account);
    let deal = row("opportunity", &opportunity);
    assert_eq!(deal["name"], "Help wanted");
    assert_eq!(deal["estimatedvalue"], 5000);
    assert_eq!(deal["_originatingleadid_value"], id);
    assert_eq!(deal["_customerid_value"], account);
    let lead = row("lead", &id);
    assert_eq!((&lead["statecode"], &lead["statuscode"]), (&json!(1), &json!(3)));
    assert_eq!(org.post(&path, &body).await.status, 400, "not repeatable");
    assert_eq!(org.sandbox.rows("opportunity").len(), 1);
    let edit = org.patch(&format!("leads({id})"), &json!({"subject": "x"})).await;
    assert_eq!(edit.status, 400, "a qualified lead is read-only");
}

#[tokio::test]
async fn qualifying_can_use_what_exists() {
    let org = Org::new().await;
    let account = org.sandbox.seed_account(&json!({})).unwrap();
    let id = org.sandbox.seed_lead(&json!({"lastname": "Buyer"})).unwrap();
    let body = json!({
        "CreateAccount": false, "CreateContact": false, "CreateOpportunity": true, "Status": -1,
        "OpportunityCustomerId": {
            "@odata.type": "Microsoft.Dynamics.CRM.account", "accountid": account,
        },
    });
    let path = format!("leads({id})/Microsoft.Dynamics.CRM.QualifyLead");
    let made = org.post(&path, &body).await.rows();
    assert_eq!(made.len(), 1, "only what was made is listed");
    let deal = made[0]["opportunityid"].as_str().unwrap();
    let row = org.sandbox.row("opportunity", deal).unwrap();
    assert_eq!(row["_customerid_value"], account);
}

#[tokio::test]
async fn a_lead_is_disqualified_and_reactivated_by_a_plain_update() {
    let org = Org::new().await;
    let id = org.sandbox.seed_lead(&json!({"lastname": "Buyer"})).unwrap();
    let path = format!("leads({id})");
    let steps = [
        (json!({"statecode": 2, "statuscode": 3}), 400, "3 belongs to Qualified"),
        (json!({"statecode": 2}), 204, "with the default reason"),
        (json!({"subject": "x"}), 400, "disqualified is read-only"),
        (json!({"statecode": 0, "statuscode": 1}), 204, "reactivated"),
        (json!({"subject": "x"}), 204, "and editable"),
    ];
    for (body, status, why) in steps {
        let reply = org.patch(&path, &body).await;
        assert_eq!(reply.status, status, "{why}: {}", reply.text);
    }
}

#[tokio::test]
async fn a_merge_moves_what_pointed_to_the_row_that_is_gone() {
    let org = Org::new().await;
    let account = |name: &str| org.sandbox.seed_account(&json!({ "name": name })).unwrap();
    let (kept, gone, other) = (account("Fabrikam"), account("Fabrikam Ltd"), account("Contoso"));
    let deal = |id: &str| {
        let bind = format!("/accounts({id})");
        let new =
            json!({"customerid_account@odata.bind": bind, "parentaccountid@odata.bind": bind});
        org.sandbox.seed_opportunity(&new).unwrap()
    };
    let (moved, closed, stays) = (deal(&gone), deal(&gone), deal(&other));
    org.sandbox.win_as_person(&closed).unwrap();
    let entity =
        |id: &str| json!({"@odata.type": "Microsoft.Dynamics.CRM.account", "accountid": id});
    let merge = |target: &str, subordinate: &str| {
        json!({
            "Target": entity(target), "Subordinate": entity(subordinate),
            "UpdateContent": {"@odata.type": "Microsoft.Dynamics.CRM.account", "telephone1": "1"},
            "PerformParentingChecks": false,
        })
    };
    let reply = org.post("Merge", &merge(&kept, &gone)).await;
    assert_eq!((reply.status, reply.text.as_str()), (204, ""));
    let row = org.sandbox.row("account", &gone).unwrap();
    for (name, value) in [
        ("merged", json!(true)),
        ("_masterid_value", json!(kept)),
        ("statecode", json!(1)),
        ("name", json!("Fabrikam Ltd")),
    ] {
        assert_eq!(row[name], value, "{name}");
    }
    assert_eq!(org.sandbox.row("account", &kept).unwrap()["telephone1"], "1");
    for (deal, account) in [(&moved, &kept), (&closed, &kept), (&stays, &other)] {
        let row = org.sandbox.row("opportunity", deal).unwrap();
        assert_eq!(row["_customerid_value"], **account);
        assert_eq!(row["_parentaccountid_value"], **account);
    }
    let lead = org.sandbox.seed_lead(&json!({})).unwrap();
    let typed = |kind: &str, id: &str| json!({"@odata.type": format!("Microsoft.Dynamics.CRM.{kind}"), format!("{kind}id"): id});
    let mixed = json!({
        "Target": typed("account", &kept), "Subordinate": typed("lead", &lead),
        "PerformParentingChecks": false,
    });
    let deals = json!({
        "Target": typed("opportunity", &moved), "Subordinate": typed("opportunity", &stays),
        "PerformParentingChecks": false,
    });
    let mut unsure = merge(&kept, &other);
    unsure.as_object_mut().unwrap().remove("PerformParentingChecks");
    for (body, why) in [
        (merge(&kept, &gone), "gone already"),
        (merge(&kept, &kept), "with itself"),
        (mixed, "of two kinds"),
        (deals, "opportunities cannot be merged"),
        (unsure, "a parameter is missing"),
    ] {
        assert_eq!(org.post("Merge", &body).await.status, 400, "{why}");
    }
}
