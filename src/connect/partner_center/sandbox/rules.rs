//! What the reference says may be written, as tables of the emulator's own. Nothing here is taken
//! from the client's side, so that a mistake there is not made here too.

use serde_json::Value as Json;

use super::answer::Refusal;

/// The paths that may be patched (reference 2.5). A path that ends in `-` appends.
const PATHS: &[&str] = &[
    "campaignId",
    "consent/consentToShareReferralWithMicrosoftSellers",
    "customerProfile/team",
    "customerProfile/team/-",
    "details/closingDateTime",
    "details/currency",
    "details/dealValue",
    "details/notes",
    "details/requirements/solutions",
    "details/requirements/solutions/-",
    "externalReferenceId",
    "referralProgram",
    "salesStage",
    "status",
    "substatus",
    "statusReason",
    "team",
    "team/-",
];

/// Of these paths, the one frozen once the deal is shared (reference 4.6): the customer's contacts.
const FROZEN_BY_SHARING: &[&str] = &["customerProfile/team", "customerProfile/team/-"];

/// Which substatus goes with a status (reference 4.2).
const PAIRS: &[(&str, &[&str])] = &[
    ("New", &["Pending", "Received"]),
    ("Active", &["Accepted"]),
    ("Closed", &["Won", "Lost", "Declined", "Expired", "Error"]),
];

/// What a partner may close from where. The reference's table allows any closing word from New and
/// Active alike; its prose declines what is New, wins and loses what is Active, closes both as an
/// error, and leaves Expired to the service. The stricter reading is taken.
const CLOSINGS: &[(&str, &[&str])] =
    &[("New", &["Declined", "Error"]), ("Active", &["Won", "Lost", "Error"])];

/// Types of a referral (reference 3.4).
pub(super) const TYPES: &[&str] = &["Independent", "Shared"];
/// Qualifications (reference 3.4).
pub(super) const QUALIFICATIONS: &[&str] =
    &["None", "Direct", "MarketingQualified", "SalesQualified"];
/// Types of a target (reference 3.4).
pub(super) const TARGET_TYPES: &[&str] = &["None", "BusinessProfileLocation", "SolutionProfile"];
/// Types of a solution (reference 3.4).
pub(super) const SOLUTION_TYPES: &[&str] = &["None", "Category", "Name"];
/// Kinds of help (reference 3.4).
pub(super) const HELP: &[&str] = &[
    "Unknown",
    "GeneralOrOther",
    "CustomerTechnicalArchitecture",
    "ProofOfConceptOrDemo",
    "QuotesOrLicensing",
    "PostSalesCustomerSuccess",
    "WorkloadSpecificValueProposition",
];
/// Kinds of a customer's id (reference 3.4).
pub(super) const CUSTOMER_IDS: &[&str] = &["Duns", "External"];
/// Answers to the customer's marketplace intent (reference 3.3).
pub(super) const INTENTS: &[&str] = &["Yes", "No", "HaveNotDecided"];
/// Where a registration may go from where (reference 7.1); the first is where it begins.
const REGISTRATION_STEPS: &[(&str, &[&str])] = &[
    ("ReviewPending", &["Approved", "Passed", "Failed", "ActionRequired", "Closed"]),
    ("ActionRequired", &["ReviewPending", "Closed"]),
    ("Approved", &["Closed"]),
    ("Passed", &["Closed"]),
    ("Failed", &["Closed"]),
    ("Closed", &[]),
];

/// Whether the path, without its first slash, may be patched in this manner.
pub(super) fn is_patchable(path: &str, replaces: bool) -> bool {
    PATHS.contains(&path) && !(replaces && path.ends_with("/-"))
}

/// Whether the path is closed once the deal was shared.
pub(super) fn is_frozen_by_sharing(path: &str) -> bool {
    FROZEN_BY_SHARING.contains(&path)
}

fn row<'table>(table: &[(&str, &'table [&'table str])], name: &str) -> &'table [&'table str] {
    table.iter().find(|(first, _)| *first == name).map_or(&[], |(_, words)| words)
}

/// Status and substatus in their own spelling, if they are words of the reference and agree.
pub(super) fn pair(status: &str, substatus: &str) -> Option<(&'static str, &'static str)> {
    let (status, words) = PAIRS.iter().find(|(name, _)| name.eq_ignore_ascii_case(status))?;
    let substatus = words.iter().find(|word| word.eq_ignore_ascii_case(substatus))?;
    Some((status, substatus))
}

/// Whether a partner may take a referral from one agreeing pair to another.
pub(super) fn may_become(from: (&str, &str), to: (&str, &str)) -> bool {
    match (from.0, to.0) {
        ("New", "New" | "Active") | ("Active", "Active") => true,
        (open, "Closed") => row(CLOSINGS, open).contains(&to.1),
        _ => false,
    }
}

/// Whether Microsoft may take a registration from one status to another.
pub(super) fn may_be_reviewed(from: &str, to: &str) -> bool {
    row(REGISTRATION_STEPS, from).contains(&to)
}

/// Brings a word to its own spelling, or refuses it. Without a value nothing happens.
pub(super) fn bind_word(
    value: Option<&mut Json>,
    target: &str,
    words: &[&str],
) -> Result<(), Refusal> {
    let Some(value) = value.filter(|value| !value.is_null()) else { return Ok(()) };
    let found = value
        .as_str()
        .and_then(|given| words.iter().find(|known| known.eq_ignore_ascii_case(given)));
    let Some(word) = found else {
        return Err(Refusal::invalid(target, format!("{value} is not a value of '{target}'.")));
    };
    *value = Json::from(*word);
    Ok(())
}
