use serde_json::{Value as Json, json};

use super::{
    Class, DealKind, FROZEN_AFTER_CREATE, FROZEN_AFTER_SHARE, PATCHABLE, Referral, ReferralState,
    Status, Substatus, is_frozen, is_patchable,
};

/// Every word of 3.4, and one of nobody's. `None` is a word of the reference in both lists, and one
/// that no rule names.
const STATUSES: [&str; 5] = ["None", "New", "Active", "Closed", "Draft"];
const SUBSTATUSES: [&str; 10] = [
    "None", "Pending", "Received", "Accepted", "Won", "Lost", "Declined", "Expired", "Error",
    "Engaged",
];

/// The table of 4.2: the pairs that agree, and what a partner may make of each.
const STEPS: [(&str, &[&str]); 8] = [
    (
        "New/Pending",
        &["New/Pending", "New/Received", "Active/Accepted", "Closed/Declined", "Closed/Error"],
    ),
    (
        "New/Received",
        &["New/Pending", "New/Received", "Active/Accepted", "Closed/Declined", "Closed/Error"],
    ),
    ("Active/Accepted", &["Active/Accepted", "Closed/Won", "Closed/Lost", "Closed/Error"]),
    ("Closed/Won", &[]),
    ("Closed/Lost", &[]),
    ("Closed/Declined", &[]),
    ("Closed/Expired", &[]),
    ("Closed/Error", &[]),
];

fn all_states() -> Vec<ReferralState> {
    let pairs =
        STATUSES.iter().flat_map(|status| SUBSTATUSES.map(|substatus| (*status, substatus)));
    pairs
        .map(|(status, substatus)| {
            ReferralState::new(Status::parse(status), Substatus::parse(substatus))
        })
        .collect()
}

#[test]
fn every_pair_of_states_is_as_the_reference_says() {
    let states = all_states();
    assert_eq!(states.len(), 50);
    let mut tried = 0;
    for from in &states {
        let row = STEPS.iter().find(|(name, _)| *name == from.to_string());
        assert_eq!(from.is_consistent(), row.is_some(), "{from} agrees");
        assert_eq!(from.is_terminal(), from.to_string().starts_with("Closed/"), "{from} is final");
        let Some((_, allowed)) = row else { continue };
        for to in &states {
            let expected = allowed.contains(&to.to_string().as_str());
            assert_eq!(from.may_become(to), expected, "{from} to {to}");
            tried += 1;
        }
    }
    assert_eq!(tried, 8 * 50, "from every state there is to every state that can be written down");
}

#[test]
fn from_a_status_of_no_list_nothing_is_written() {
    for from in all_states() {
        if matches!(from.status, Status::Unknown(_)) {
            assert!(all_states().iter().all(|to| !from.may_become(to)), "{from}");
        }
    }
}

#[test]
fn every_word_of_the_lists_is_known_and_others_are_kept() {
    for word in SUBSTATUSES.iter().filter(|word| !["None", "Engaged"].contains(word)) {
        let parsed = Substatus::parse(&word.to_ascii_uppercase());
        assert!(!matches!(parsed, Substatus::Unknown(_)), "{word}");
        assert_eq!(parsed.as_str(), *word);
    }
    for word in ["New", "Active", "Closed"] {
        assert_eq!(Status::parse(&word.to_ascii_lowercase()).as_str(), word);
    }
    assert_eq!(Status::parse("None"), Status::Unknown("None".to_owned()));
    assert_eq!(Substatus::parse("Engaged"), Substatus::Unknown("Engaged".to_owned()));
}

fn referral(fields: Json) -> Referral {
    let mut all = json!({ "Id": "11111111-2222-4333-8444-555555555555" });
    for (name, value) in fields.as_object().expect("an object") {
        all[name] = value.clone();
    }
    Referral::from_json(all).expect("a referral")
}

/// Who invited: nobody, Microsoft, us, another partner.
const INVITERS: [Option<&str>; 4] = [None, Some("msft"), Some("our-org"), Some("their-org")];

/// Every combination of 4.1 for Independent referrals, by qualification and inviter in the order of
/// [`INVITERS`]. Where the reference has no row, the last column says what was chosen and why.
const INDEPENDENT: [(&str, [Class; 4], &str); 4] = {
    use Class::{MarketplaceLead as Market, Opportunity as Deal, QualifiedLead as Lead};
    [
        ("Direct", [Market, Market, Lead, Lead], "no row for Direct from a partner: still a lead"),
        ("SalesQualified", [Deal, Lead, Deal, Deal], "no row without an inviter: ours"),
        ("MarketingQualified", [Lead, Lead, Lead, Lead], "only a lead is qualified by marketing"),
        ("None", [Deal, Deal, Deal, Deal], "no row for None from Microsoft or nobody: no lead"),
    ]
};

#[test]
fn every_row_of_the_classification_table_holds() {
    let mut tried = 0;
    for (qualification, classes, why) in INDEPENDENT {
        for (inviter, expected) in INVITERS.into_iter().zip(classes) {
            for shared in [false, true] {
                let kind = if shared { "Shared" } else { "Independent" };
                // The reference leaves the gap Shared from Microsoft: always an opportunity.
                let expected = if shared { Class::Opportunity } else { expected };
                for spelling in [str::to_owned, str::to_ascii_uppercase] {
                    let inviter = inviter.map(spelling);
                    let one = referral(json!({
                        "Type": spelling(kind), "qualification": spelling(qualification),
                        "inviteContext": { "InvitedBy": { "organizationId": inviter } },
                    }));
                    let row = format!("{kind} {qualification} {inviter:?}: {why}");
                    assert_eq!(one.class(), expected, "{row}");
                    assert_eq!(one.class().is_lead(), expected != Class::Opportunity, "{row}");
                    tried += 1;
                }
            }
        }
    }
    assert_eq!(tried, 2 * 4 * 4 * 2, "types, qualifications, inviters, spellings");
    for (fields, why) in [
        (json!({}), "nothing is known"),
        (json!({ "type": null, "qualification": null, "inviteContext": null }), "all null"),
        (json!({ "type": "Barter", "qualification": "Hot" }), "words of no list"),
    ] {
        assert_eq!(referral(fields).class(), Class::Opportunity, "{why}");
    }
}

#[test]
fn every_kind_of_deal_follows_from_the_flag_and_the_engagement() {
    let help = ["Unknown", "GeneralOrOther", "QuotesOrLicensing"];
    for (flag, microsoft, expected) in [
        (json!(false), false, DealKind::Private),
        (json!(null), false, DealKind::Private),
        (json!("true"), false, DealKind::Private),
        (json!(true), false, DealKind::PartnerLed),
        (json!(true), true, DealKind::CoSell),
        (json!(false), true, DealKind::CoSell),
    ] {
        for code in help {
            let one = referral(json!({
                "consent": { "consentToShareReferralWithMicrosoftSellers": flag },
                "inviteContext": { "assistanceRequestCode": code },
            }));
            let kind = one.deal_kind(microsoft);
            assert_eq!(kind, expected, "{flag}, Microsoft {microsoft}, {code}");
        }
    }
    assert_eq!(referral(json!({})).deal_kind(false), DealKind::Private, "no consent at all");
    assert!(DealKind::Private < DealKind::PartnerLed && DealKind::PartnerLed < DealKind::CoSell);
}

#[test]
fn microsofts_own_record_is_told_by_its_organisation_or_its_target() {
    let location = json!([{ "type": "BusinessProfileLocation", "id": "msft" }]);
    for (fields, expected, why) in [
        (json!({ "organizationId": "msft" }), true, "its organisation"),
        (json!({ "organizationId": "MSFT" }), true, "in any case"),
        (json!({ "organizationId": "guid", "target": location }), true, "its target"),
        (json!({ "organizationId": "our-org" }), false, "ours"),
        (json!({ "target": [{ "type": "SolutionProfile", "id": "SOL-1" }] }), false, "a solution"),
        (json!({ "target": {} }), false, "not even a list"),
        (json!({}), false, "nothing"),
    ] {
        assert_eq!(referral(fields).is_microsofts(), expected, "{why}");
    }
}

/// Every property of 3.2 and 3.3 by its dotted path: may it be patched at all (2.5), is it frozen
/// once created, is it frozen once shared (4.6).
fn fields() -> Vec<(&'static str, [bool; 3])> {
    let mut all = Vec::new();
    let mut row = |marks: [bool; 3], paths: &str| {
        let paths: &'static str = paths.to_owned().leak();
        all.extend(paths.split_whitespace().map(|path| (path, marks)));
    };
    let (open, created, shared) =
        ([true, false, false], [false, true, false], [false, false, true]);
    row(
        open,
        "campaignId consent.consentToShareReferralWithMicrosoftSellers details.closingDateTime
         details.currency details.dealValue details.notes details.requirements.solutions
         externalReferenceId referralProgram salesStage status substatus statusReason team",
    );
    row([true, false, true], "customerProfile.team");
    row(
        created,
        "engagementId mpnId type customerProfile.name customerProfile.ids
         customerProfile.address.addressLine1 customerProfile.address.addressLine2
         customerProfile.address.city customerProfile.address.state
         customerProfile.address.postalCode customerProfile.address.country
         customerProfile.address.region consent.consentToContact
         consent.consentToToShareInfoWithOthers",
    );
    row(
        shared,
        "inviteContext.notes inviteContext.assistanceRequestCode inviteContext.invitedMpnId
         inviteContext.invitedBy.organizationId inviteContext.invitedBy.organizationName",
    );
    row(
        [false; 3],
        "id name organizationId organizationName lastModifiedVia lastRunId createdVia
         createdDateTime updatedDateTime expirationDateTime acceptedDateTime closedDateTime
         qualification referralSource callToAction eTag favorite quality isSpam direction
         dealSensitivity tags registrationStatus registrations target links exception
         customerProfile.size customerProfile.isMatchingComplete
         consent.consentToMicrosoftToContactSpecificPartners details.customerRequestedContact
         details.customerAction details.incentiveLevel details.requirements.industries
         details.requirements.products details.requirements.services
         details.requirements.offers details.requirements.salesPlays
         details.requirements.additionalRequirements trackingInfo.microsoftMsxId
         trackingInfo.microsoftUSFedOpportunityId trackingInfo.microsoftUSFedLeadId
         trackingInfo.migratedPSCDealId trackingInfo.migratedPSCPartnerDealId",
    );
    all
}

#[test]
fn every_field_is_open_or_frozen_as_the_reference_says() {
    let fields = fields();
    for (path, [patchable, created, shared]) in &fields {
        assert_eq!(is_patchable(path), *patchable, "{path} patchable");
        assert_eq!(is_frozen(path, FROZEN_AFTER_CREATE), *created, "{path} frozen after create");
        assert_eq!(is_frozen(path, FROZEN_AFTER_SHARE), *shared, "{path} frozen after share");
    }
    let paths: Vec<&str> = fields.iter().map(|(path, _)| *path).collect();
    let distinct: std::collections::BTreeSet<&str> = paths.iter().copied().collect();
    assert_eq!(distinct.len(), paths.len(), "each once");
    for path in PATCHABLE {
        assert!(distinct.contains(path), "{path} has no row");
    }
    for prefix in FROZEN_AFTER_CREATE.iter().chain(FROZEN_AFTER_SHARE) {
        assert!(paths.iter().any(|path| is_frozen(path, &[prefix])), "{prefix} has no row");
    }
    for (path, why) in [
        ("customerProfile.teams", "a longer word"),
        ("customerProfile", "only a part of the path"),
        ("", "nothing"),
    ] {
        assert!(!is_frozen(path, FROZEN_AFTER_CREATE), "{path}: {why}");
        assert!(!is_frozen(path, FROZEN_AFTER_SHARE), "{path}: {why}");
        assert!(!is_patchable(path), "{path}: {why}");
    }
}
