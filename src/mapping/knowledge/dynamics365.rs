//! Columns of Dynamics 365 Sales (reference 2.3, 2.4 and 2.6).

use super::Holds::{Boolean, Date, Decimal, Instant, Integer, Lookup, Money, Option, Text};
use super::{Column, column, read_only, update_only};

/// Lookups that a dotted field may follow, with the table behind each.
pub(super) const RELATED: &[(&str, &str)] = &[
    ("customerid", "account"),
    ("originatingleadid", "lead"),
    ("ownerid", "systemuser"),
    ("owninguser", "systemuser"),
    ("parentaccountid", "account"),
    ("parentcontactid", "contact"),
    ("transactioncurrencyid", "transactioncurrency"),
];

/// `opportunity`.
pub(super) const OPPORTUNITY: &[Column] = &[
    read_only("opportunityid", Text),
    column("name", Text, 300),
    column("description", Text, 2000),
    column("customerneed", Text, 2000),
    column("currentsituation", Text, 2000),
    column("customerpainpoints", Text, 2000),
    column("proposedsolution", Text, 2000),
    column("qualificationcomments", Text, 2000),
    column("quotecomments", Text, 2000),
    column("estimatedvalue", Money, 0),
    read_only("estimatedvalue_base", Money),
    column("isrevenuesystemcalculated", Boolean, 0),
    column("estimatedclosedate", Date, 0),
    column("actualvalue", Money, 0),
    column("actualclosedate", Date, 0),
    column("closeprobability", Integer, 0),
    column("budgetamount", Money, 0),
    column("budgetstatus", Option, 0),
    column("salesstage", Option, 0),
    column("salesstagecode", Option, 0),
    column("stepname", Text, 200),
    column("opportunityratingcode", Option, 0),
    column("prioritycode", Option, 0),
    column("purchasetimeframe", Option, 0),
    column("purchaseprocess", Option, 0),
    column("need", Option, 0),
    column("timeline", Option, 0),
    column("initialcommunication", Option, 0),
    column("emailaddress", Text, 100),
    update_only("statecode", Option),
    column("statuscode", Option, 0),
    column("customerid", Lookup, 0),
    column("parentaccountid", Lookup, 0),
    column("parentcontactid", Lookup, 0),
    column("originatingleadid", Lookup, 0),
    column("transactioncurrencyid", Lookup, 0),
    column("pricelevelid", Lookup, 0),
    column("campaignid", Lookup, 0),
    column("ownerid", Lookup, 0),
    read_only("owninguser", Lookup),
    read_only("totalamount", Money),
    read_only("totallineitemamount", Money),
    read_only("totaldiscountamount", Money),
    read_only("totaltax", Money),
    read_only("createdon", Instant),
    read_only("modifiedon", Instant),
];

/// `lead`.
pub(super) const LEAD: &[Column] = &[
    read_only("leadid", Text),
    column("subject", Text, 300),
    column("firstname", Text, 50),
    column("lastname", Text, 50),
    column("middlename", Text, 50),
    read_only("fullname", Text),
    column("companyname", Text, 100),
    column("jobtitle", Text, 100),
    column("emailaddress1", Text, 100),
    column("emailaddress2", Text, 100),
    column("emailaddress3", Text, 100),
    column("telephone1", Text, 50),
    column("telephone2", Text, 50),
    column("telephone3", Text, 50),
    column("mobilephone", Text, 20),
    column("websiteurl", Text, 200),
    column("description", Text, 2000),
    column("estimatedamount", Money, 0),
    // Deprecated and a float on leads, unlike the column of the same name on opportunities.
    read_only("estimatedvalue", Decimal),
    column("estimatedclosedate", Date, 0),
    column("budgetamount", Money, 0),
    column("revenue", Money, 0),
    column("numberofemployees", Integer, 0),
    column("industrycode", Option, 0),
    column("leadsourcecode", Option, 0),
    column("leadqualitycode", Option, 0),
    column("salesstage", Option, 0),
    column("address1_line1", Text, 250),
    column("address1_line2", Text, 250),
    column("address1_line3", Text, 250),
    column("address1_city", Text, 50),
    column("address1_stateorprovince", Text, 50),
    column("address1_postalcode", Text, 20),
    column("address1_country", Text, 50),
    column("customerid", Lookup, 0),
    column("parentaccountid", Lookup, 0),
    column("parentcontactid", Lookup, 0),
    read_only("qualifyingopportunityid", Lookup),
    column("campaignid", Lookup, 0),
    column("transactioncurrencyid", Lookup, 0),
    column("ownerid", Lookup, 0),
    read_only("owninguser", Lookup),
    update_only("statecode", Option),
    column("statuscode", Option, 0),
    read_only("createdon", Instant),
    read_only("modifiedon", Instant),
];

const ACCOUNT: &[Column] = &[
    read_only("accountid", Text),
    column("name", Text, 160),
    column("accountnumber", Text, 20),
    column("telephone1", Text, 50),
    column("websiteurl", Text, 200),
    column("emailaddress1", Text, 100),
    column("address1_line1", Text, 250),
    column("address1_line2", Text, 250),
    column("address1_line3", Text, 250),
    column("address1_city", Text, 80),
    column("address1_stateorprovince", Text, 50),
    column("address1_postalcode", Text, 20),
    column("address1_country", Text, 80),
    column("revenue", Money, 0),
    column("numberofemployees", Integer, 0),
    column("primarycontactid", Lookup, 0),
];

const CONTACT: &[Column] = &[
    read_only("contactid", Text),
    read_only("fullname", Text),
    column("firstname", Text, 50),
    column("lastname", Text, 50),
    column("emailaddress1", Text, 100),
    column("telephone1", Text, 50),
    column("jobtitle", Text, 100),
    column("parentcustomerid", Lookup, 0),
];

const CURRENCY: &[Column] = &[column("isocurrencycode", Text, 5)];

const USER: &[Column] = &[
    read_only("systemuserid", Text),
    read_only("firstname", Text),
    read_only("lastname", Text),
    read_only("fullname", Text),
    read_only("internalemailaddress", Text),
    read_only("address1_telephone1", Text),
    read_only("mobilephone", Text),
    read_only("jobtitle", Text),
    read_only("title", Text),
];

/// The columns of another table.
pub(super) fn table(name: &str) -> &'static [Column] {
    match name {
        "account" => ACCOUNT,
        "contact" => CONTACT,
        "lead" => LEAD,
        "systemuser" => USER,
        "transactioncurrency" => CURRENCY,
        _ => &[],
    }
}
