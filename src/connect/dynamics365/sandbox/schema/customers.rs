//! Account, contact, product, currency and user.

use super::{Column, Kind, Table, sales};

const CURRENCY: &[(&str, &str)] = &[("transactioncurrency", "transactioncurrencyid")];
const OWNER: &[(&str, &str)] = &[("systemuser", "ownerid")];

pub(super) fn tables() -> Vec<Table> {
    vec![account(), contact(), product(), currency(), user()]
}

fn active_state() -> [Column; 2] {
    [
        Column::state(&[(0, "Active"), (1, "Inactive")]),
        Column::status(&[(1, "Active", 0), (2, "Inactive", 1)]),
    ]
}

fn account() -> Table {
    let mut columns = vec![
        Column::text("name", 160).labelled("Account Name"),
        Column::text("accountnumber", 20),
        Column::text("telephone1", 50),
        Column::text("emailaddress1", 100),
        Column::new("websiteurl", Kind::Text(200, "Url")),
        Column::memo("description"),
        Column::money("revenue", 0),
        Column::money("revenue_base", 0).read_only(),
        Column::new("exchangerate", Kind::Decimal(10)).read_only(),
        Column::new("numberofemployees", Kind::Integer(0, 1_000_000_000)),
        Column::lookup("primarycontactid", &[("contact", "primarycontactid")]),
        Column::lookup("masterid", &[("account", "masterid")]).read_only(),
        Column::boolean("merged").read_only(),
        Column::lookup("transactioncurrencyid", CURRENCY),
        Column::lookup("ownerid", OWNER),
    ];
    columns.extend(sales::address());
    columns.extend(active_state());
    Table::new("account", "accounts", "name", columns).with_collection(
        "opportunity_customer_accounts",
        "opportunity",
        "customerid",
    )
}

fn contact() -> Table {
    let mut columns = vec![
        Column::text("fullname", 160).read_only(),
        Column::text("firstname", 50),
        Column::text("lastname", 50),
        Column::text("jobtitle", 100),
        Column::text("emailaddress1", 100),
        Column::text("telephone1", 50),
        Column::text("mobilephone", 50),
        Column::lookup("masterid", &[("contact", "masterid")]).read_only(),
        Column::boolean("merged").read_only(),
        Column::lookup(
            "parentcustomerid",
            &[("account", "parentcustomerid_account"), ("contact", "parentcustomerid_contact")],
        ),
        Column::lookup("transactioncurrencyid", CURRENCY),
        Column::lookup("ownerid", OWNER),
    ];
    columns.extend(sales::address());
    columns.extend(active_state());
    Table::new("contact", "contacts", "fullname", columns)
}

fn product() -> Table {
    let mut columns = vec![
        Column::text("name", 100),
        Column::text("productnumber", 100),
        Column::memo("description"),
    ];
    columns.extend(active_state());
    Table::new("product", "products", "name", columns)
}

fn currency() -> Table {
    let mut columns = vec![
        Column::text("currencyname", 100),
        Column::text("isocurrencycode", 5),
        Column::text("currencysymbol", 13),
        Column::new("currencyprecision", Kind::Integer(0, 4)),
        Column::new("exchangerate", Kind::Decimal(10)),
    ];
    columns.extend(active_state());
    Table::new("transactioncurrency", "transactioncurrencies", "currencyname", columns)
}

fn user() -> Table {
    Table::new(
        "systemuser",
        "systemusers",
        "fullname",
        vec![
            Column::text("fullname", 200),
            Column::text("firstname", 256),
            Column::text("lastname", 256),
            Column::text("domainname", 1024),
            Column::text("internalemailaddress", 100),
            Column::text("address1_telephone1", 64),
            Column::text("mobilephone", 64),
            Column::text("applicationid", 36),
            Column::boolean("isdisabled"),
        ],
    )
}
