//! `[accounts.NAME.sync]` and `[accounts.NAME.sharing]`.

use std::path::PathBuf;

use serde::Deserialize;

use super::found::Found;
use super::values::{check_email, check_range};

/// `[accounts.NAME.sync]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SyncConfig {
    /// Folder of the mapping files.
    #[serde(default = "default_mappings")]
    pub mappings: PathBuf,
    /// The CRM whose record id goes to Partner Center, where both are configured.
    pub primary_crm: Option<PrimaryCrm>,
    /// Keep leads in step too.
    #[serde(default = "yes")]
    pub leads: bool,
    /// Make missing accounts and contacts for arriving deals.
    #[serde(default = "yes")]
    pub create_missing: bool,
    /// What happens to a deal won within 72 hours of its creation.
    #[serde(default)]
    pub won_before_72h: WonBefore72h,
    /// Two modification stamps closer together than this cannot tell which is newer, in seconds.
    #[serde(default = "default_newest_margin_secs")]
    pub newest_margin_secs: u64,
    /// Time zone of the sentences to sellers; nothing else depends on it.
    #[serde(default = "default_time_zone")]
    pub time_zone: String,
    /// Plan and record everything, write nothing.
    #[serde(default)]
    pub shadow: bool,
    /// Hold a referral that names a CRM record which is not here, instead of creating one.
    #[serde(default)]
    pub hold_foreign_reference: bool,
    /// How long Partner Center's list may lag behind a write, in seconds. 0 to 600.
    #[serde(default = "default_list_lag_secs")]
    pub list_lag_secs: u64,
    /// How many records a changed mapping may write differently without a person's word. 0 to
    /// 10000000.
    #[serde(default = "default_mapping_budget")]
    pub mapping_budget: u64,
    /// After how long a change that cannot be carried on is shown in the CRMs as *waiting*, in
    /// seconds. 1 to 86400.
    #[serde(default = "default_show_waiting_secs")]
    pub show_waiting_secs: u64,
}

fn default_mappings() -> PathBuf {
    PathBuf::from("mappings")
}

fn yes() -> bool {
    true
}

fn default_newest_margin_secs() -> u64 {
    5
}

fn default_time_zone() -> String {
    "UTC".to_owned()
}

fn default_list_lag_secs() -> u64 {
    5
}

fn default_mapping_budget() -> u64 {
    1000
}

fn default_show_waiting_secs() -> u64 {
    180
}

/// The name of a CRM in `primary_crm`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrimaryCrm {
    /// Dynamics 365.
    Dynamics365,
    /// Salesforce.
    Salesforce,
}

/// The values of `won_before_72h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WonBefore72h {
    /// Send at once, with a warning.
    #[default]
    Send,
    /// Send when the 72 hours are over.
    Wait,
}

impl SyncConfig {
    pub(super) fn check(
        &self,
        found: &mut Found<'_>,
        account: &str,
        dynamics365: bool,
        salesforce: bool,
    ) {
        let key = |name: &str| format!("accounts.{account}.sync.{name}");
        check_range(found, &key("newest_margin_secs"), self.newest_margin_secs, 0, 3600);
        check_range(found, &key("list_lag_secs"), self.list_lag_secs, 0, 600);
        check_range(found, &key("mapping_budget"), self.mapping_budget, 0, 10_000_000);
        check_range(found, &key("show_waiting_secs"), self.show_waiting_secs, 1, 86_400);
        let there = match self.primary_crm {
            None => !(dynamics365 && salesforce),
            Some(PrimaryCrm::Dynamics365) => dynamics365,
            Some(PrimaryCrm::Salesforce) => salesforce,
        };
        if !there {
            let (what, fix) = (
                format!("`{}` does not name one of the configured CRMs", key("primary_crm")),
                "set it to \"dynamics365\" or \"salesforce\"",
            );
            if self.primary_crm.is_some() {
                found.value(&key("primary_crm"), &what, fix);
            } else {
                found.lack(&format!("accounts.{account}.sync"), &what, fix);
            }
        }
        if crate::domain::time::Date::of(
            crate::domain::time::Timestamp::from_millis(0),
            &self.time_zone,
        )
        .is_none()
        {
            found.value(
                &key("time_zone"),
                &format!("`{}` is \"{}\", which is no time zone", key("time_zone"), self.time_zone),
                "use a name such as \"Europe/Berlin\"",
            );
        }
    }
}

/// `[accounts.NAME.sharing]`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SharingConfig {
    /// `true`: the admin states that sellers have the customer's consent. Or the field that says so.
    pub customer_consent: Option<ConsentSource>,
    /// Solution id used where a record names none.
    pub default_solution: Option<String>,
    /// People used where a record's owner has no phone or e-mail.
    #[serde(default)]
    pub default_team: Vec<PersonConfig>,
    /// `Yes`, `No` or `HaveNotDecided`.
    pub marketplace_intent: Option<String>,
}

/// Where the customer's consent is taken from.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub enum ConsentSource {
    /// The admin's statement.
    Stated(bool),
    /// A check box of the record.
    Field {
        /// Its name.
        field: String,
    },
}

/// One of our people.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PersonConfig {
    /// First name.
    pub first_name: String,
    /// Last name.
    pub last_name: String,
    /// Phone number.
    pub phone: String,
    /// E-mail address.
    pub email: String,
}

impl SharingConfig {
    pub(super) fn check(&self, found: &mut Found<'_>, account: &str) {
        let known = ["Yes", "No", "HaveNotDecided"];
        let wrong = self.marketplace_intent.as_deref().filter(|intent| !known.contains(intent));
        if let Some(intent) = wrong {
            let key = format!("accounts.{account}.sharing.marketplace_intent");
            let what = format!("`{key}` is \"{intent}\"");
            found.value(&key, &what, "choose Yes, No or HaveNotDecided");
        }
        let key = format!("accounts.{account}.sharing.default_team");
        for (at, person) in (1..).zip(&self.default_team) {
            check_email(found, &key, &format!("email of person {at} of {key}"), &person.email);
            let named = [
                ("first_name", &person.first_name),
                ("last_name", &person.last_name),
                ("phone", &person.phone),
            ];
            for (name, _) in named.iter().filter(|(_, text)| text.trim().is_empty()) {
                let what = format!("`{name} of person {at} of {key}` is empty");
                found.value(&key, &what, "fill it in; Partner Center wants it of everybody");
            }
        }
    }
}
