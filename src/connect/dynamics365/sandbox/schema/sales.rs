//! Opportunity, lead and their children.

use super::{Column, Kind, Table};

const CUSTOMER: &[(&str, &str)] =
    &[("account", "customerid_account"), ("contact", "customerid_contact")];
const CURRENCY: &[(&str, &str)] = &[("transactioncurrency", "transactioncurrencyid")];
const OWNER: &[(&str, &str)] = &[("systemuser", "ownerid"), ("systemuser", "owninguser")];

pub(super) fn tables() -> Vec<Table> {
    vec![opportunity(), lead(), line(), close()]
}

fn opportunity() -> Table {
    let mut columns = opportunity_own();
    columns.extend(opportunity_choices());
    columns.extend(opportunity_money_and_links());
    Table::new("opportunity", "opportunities", "name", columns)
        .with_collection("product_opportunities", "opportunityproduct", "opportunityid")
        .with_collection("Opportunity_OpportunityClose", "opportunityclose", "opportunityid")
}

fn opportunity_own() -> Vec<Column> {
    let mut columns = vec![
        Column::text("name", 300).labelled("Topic"),
        Column::text("stepname", 200),
        Column::text("emailaddress", 100),
        Column::boolean("isrevenuesystemcalculated"),
        Column::new("closeprobability", Kind::Integer(0, 100)),
        Column::new("estimatedclosedate", Kind::Date).labelled("Est. Close Date"),
        Column::new("actualclosedate", Kind::Date),
        Column::state(&[(0, "Open"), (1, "Won"), (2, "Lost")]),
        Column::status(&[
            (1, "In Progress", 0),
            (2, "On Hold", 0),
            (3, "Won", 1),
            (4, "Canceled", 2),
            (5, "Out-Sold", 2),
        ]),
    ];
    for memo in [
        "description",
        "customerneed",
        "currentsituation",
        "customerpainpoints",
        "proposedsolution",
        "qualificationcomments",
        "quotecomments",
    ] {
        columns.push(Column::memo(memo));
    }
    columns
}

fn opportunity_choices() -> Vec<Column> {
    let unknown = [
        (0, "Immediate"),
        (1, "This Quarter"),
        (2, "Next Quarter"),
        (3, "This Year"),
        (4, "Unknown"),
    ];
    vec![
        Column::choice(
            "budgetstatus",
            &[(0, "No Committed Budget"), (1, "May Buy"), (2, "Can Buy"), (3, "Will Buy")],
        ),
        Column::choice(
            "salesstage",
            &[(0, "Qualify"), (1, "Develop"), (2, "Propose"), (3, "Close")],
        ),
        Column::choice("salesstagecode", &[(1, "Default Value")]),
        Column::choice("opportunityratingcode", &[(1, "Hot"), (2, "Warm"), (3, "Cold")]),
        Column::choice("prioritycode", &[(1, "Default Value")]),
        Column::choice("purchasetimeframe", &unknown),
        Column::choice("timeline", &unknown),
        Column::choice("purchaseprocess", &[(0, "Individual"), (1, "Committee"), (2, "Unknown")]),
        Column::choice(
            "need",
            &[(0, "Must have"), (1, "Should have"), (2, "Good to have"), (3, "No need")],
        ),
        Column::choice("initialcommunication", &[(0, "Contacted"), (1, "Not Contacted")]),
    ]
}

fn opportunity_money_and_links() -> Vec<Column> {
    let mut columns = vec![
        Column::money("estimatedvalue", -1_000_000_000_000).labelled("Est. Revenue"),
        Column::money("estimatedvalue_base", -1_000_000_000_000).read_only(),
        Column::money("actualvalue", -1_000_000_000_000),
        Column::money("actualvalue_base", -1_000_000_000_000).read_only(),
        Column::money("budgetamount", 0),
        Column::money("budgetamount_base", 0).read_only(),
        Column::new("exchangerate", Kind::Decimal(10)).read_only(),
        Column::lookup("customerid", CUSTOMER),
        Column::lookup("parentaccountid", &[("account", "parentaccountid")]),
        Column::lookup("parentcontactid", &[("contact", "parentcontactid")]),
        Column::lookup("originatingleadid", &[("lead", "originatingleadid")]),
        Column::lookup("transactioncurrencyid", CURRENCY),
        Column::lookup("ownerid", OWNER),
    ];
    for total in ["totalamount", "totallineitemamount", "totaldiscountamount", "totaltax"] {
        columns.push(Column::money(total, -1_000_000_000_000).read_only());
    }
    columns
}

fn lead() -> Table {
    let mut columns = lead_texts();
    columns.extend([
        Column::memo("description"),
        Column::money("estimatedamount", 0),
        Column::money("estimatedamount_base", 0).read_only(),
        Column::new("estimatedvalue", Kind::Double),
        Column::new("estimatedclosedate", Kind::Date),
        Column::money("budgetamount", 0),
        Column::money("budgetamount_base", 0).read_only(),
        Column::money("revenue", 0),
        Column::money("revenue_base", 0).read_only(),
        Column::new("exchangerate", Kind::Decimal(10)).read_only(),
        Column::new("numberofemployees", Kind::Integer(0, 1_000_000)),
        Column::choice("salesstage", &[(0, "Qualify")]),
        Column::choice("leadqualitycode", &[(1, "Hot"), (2, "Warm"), (3, "Cold")]),
        Column::choice("leadsourcecode", LEAD_SOURCES),
        Column::new("industrycode", Kind::Integer(1, 33)),
        Column::state(&[(0, "Open"), (1, "Qualified"), (2, "Disqualified")]),
        Column::status(&[
            (1, "New", 0),
            (2, "Contacted", 0),
            (3, "Qualified", 1),
            (4, "Lost", 2),
            (5, "Cannot Contact", 2),
            (6, "No Longer Interested", 2),
            (7, "Canceled", 2),
        ]),
        Column::lookup("customerid", CUSTOMER),
        Column::lookup("parentaccountid", &[("account", "parentaccountid")]),
        Column::lookup("parentcontactid", &[("contact", "parentcontactid")]),
        Column::lookup("masterid", &[("lead", "masterid")]).read_only(),
        Column::boolean("merged").read_only(),
        Column::lookup("qualifyingopportunityid", &[("opportunity", "qualifyingopportunityid")]),
        Column::lookup("transactioncurrencyid", CURRENCY),
        Column::lookup("ownerid", OWNER),
    ]);
    Table::new("lead", "leads", "fullname", columns)
}

const LEAD_SOURCES: &[(i64, &str)] = &[
    (1, "Advertisement"),
    (2, "Employee Referral"),
    (3, "External Referral"),
    (4, "Partner"),
    (5, "Public Relations"),
    (6, "Seminar"),
    (7, "Trade Show"),
    (8, "Web"),
    (9, "Word of Mouth"),
    (10, "Other"),
];

fn lead_texts() -> Vec<Column> {
    let mut columns = vec![
        Column::text("subject", 300).labelled("Topic"),
        Column::text("fullname", 160).read_only(),
        Column::text("mobilephone", 20),
        Column::new("websiteurl", Kind::Text(200, "Url")),
    ];
    for name in ["firstname", "lastname", "middlename", "telephone1", "telephone2", "telephone3"] {
        columns.push(Column::text(name, 50));
    }
    for name in ["companyname", "jobtitle", "emailaddress1", "emailaddress2", "emailaddress3"] {
        columns.push(Column::text(name, 100));
    }
    columns.extend(address());
    columns
}

pub(super) fn address() -> Vec<Column> {
    [
        ("address1_line1", 250),
        ("address1_line2", 250),
        ("address1_line3", 250),
        ("address1_city", 80),
        ("address1_stateorprovince", 50),
        ("address1_postalcode", 20),
        ("address1_country", 80),
    ]
    .into_iter()
    .map(|(name, max)| Column::text(name, max))
    .collect()
}

fn line() -> Table {
    Table::new(
        "opportunityproduct",
        "opportunityproducts",
        "opportunityproductname",
        vec![
            Column::text("opportunityproductname", 500),
            Column::text("productdescription", 500),
            Column::memo("description"),
            Column::lookup("opportunityid", &[("opportunity", "opportunityid")]).required(),
            Column::lookup("productid", &[("product", "productid")]),
            Column::boolean("isproductoverridden").create_only(),
            Column::boolean("ispriceoverridden"),
            Column::new("quantity", Kind::Decimal(5)),
            Column::money("priceperunit", 0),
            Column::money("baseamount", 0).read_only(),
            Column::money("extendedamount", 0).read_only(),
            Column::money("manualdiscountamount", 0),
            Column::money("tax", 0),
            Column::new("lineitemnumber", Kind::Integer(0, 1_000_000_000)),
            Column::lookup("transactioncurrencyid", CURRENCY).create_only(),
        ],
    )
}

fn close() -> Table {
    Table::new(
        "opportunityclose",
        "opportunitycloses",
        "subject",
        vec![
            Column::text("subject", 200),
            Column::memo("description"),
            Column::money("actualrevenue", -1_000_000_000_000),
            Column::new("actualend", Kind::Instant),
            Column::lookup("opportunityid", &[("opportunity", "opportunityid")]),
            Column::lookup("transactioncurrencyid", CURRENCY),
            Column::state(&[(0, "Open"), (1, "Completed"), (2, "Canceled")]),
            Column::status(&[(1, "Open", 0), (2, "Completed", 1), (3, "Canceled", 2)]),
            Column::lookup("ownerid", OWNER),
        ],
    )
}
