//! The laws of the `Crm` seam, one suite for every implementation.
//!
//! An integration test makes a [`Harness`] for its client and emulator and calls
//! [`crm_laws!`](crate::crm_laws) with the function that makes one; each law becomes a test of its
//! own with a fresh harness.

use std::time::Duration;

use async_trait::async_trait;
use cosell_sync::connect::crm::{ChangePage, Crm, Search};
use cosell_sync::connect::error::ConnectError;
use cosell_sync::domain::id::{RecordId, RecordKey, RecordKind};
use cosell_sync::domain::record::{Close, Fields, Record, Shape};
use serde_json::{Value as Json, json};

/// One client with the emulator it speaks to.
#[async_trait]
pub(crate) trait Harness: Send + Sync {
    /// The client.
    fn crm(&self) -> &dyn Crm;
    /// What to read of an opportunity; holds the fields below and the control fields.
    fn shape(&self) -> Shape;
    /// Enough fields to create an opportunity; none of the fields below.
    fn create_fields(&self) -> Fields;
    /// A free text field of an opportunity that may be emptied.
    fn text_field(&self) -> &str;
    /// A field of an opportunity with an amount, two digits after the point.
    fn money_field(&self) -> &str;
    /// A field of an opportunity with a date without time.
    fn date_field(&self) -> &str;
    /// A well-formed id of no record.
    fn id_of_nothing(&self) -> RecordId;
    /// Fields of a new account of this name, and the table's and the name field's names.
    fn account(&self, name: &str) -> (String, String, Fields);
    /// The status to win with, and whatever else a win needs.
    fn winning(&self) -> Close;
    /// Whether `record` is won.
    fn is_won(&self, record: &Record) -> bool;
    /// How many closing activities the record has; `None` where the CRM knows none.
    async fn closings(&self, key: &RecordKey) -> Option<usize>;
    /// A person changes a record.
    async fn edit_as_person(&self, key: &RecordKey, fields: Fields);
    /// A person deletes a record.
    async fn delete_as_person(&self, key: &RecordKey);
    /// How many opportunities hold this referral id, counted inside the emulator.
    async fn count(&self, referral_id: &str) -> usize;
    /// The next request that writes takes effect, and its answer is lost.
    fn lose_answer_of_next_write(&self);
    /// The next request is refused for this many seconds.
    fn throttle_next(&self, secs: u32);
    /// All cursors given out so far are no longer accepted.
    fn expire_cursors(&self);
    /// Moves every clock forward.
    fn advance(&self, by: Duration);
}

const REFERRAL: &str = "11111111-2222-4333-8444-555555555555";
const OPPORTUNITY: RecordKind = RecordKind::Opportunity;

fn fields(pairs: &[(&str, Json)]) -> Fields {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect()
}

async fn create(harness: &impl Harness, referral_id: &str) -> Record {
    let made = harness
        .crm()
        .create(OPPORTUNITY, referral_id, &harness.create_fields(), &harness.shape())
        .await
        .expect("a new record");
    // A version stamp may have the grain of a second.
    harness.advance(Duration::from_secs(2));
    made
}

async fn fetch(harness: &impl Harness, record: &Record) -> Record {
    harness
        .crm()
        .fetch(OPPORTUNITY, &record.key.id, &harness.shape())
        .await
        .expect("an answer")
        .expect("the record")
}

/// Reads on until no page waits.
async fn read_all(harness: &impl Harness, cursor: Option<&str>) -> ChangePage {
    harness.advance(Duration::from_secs(2));
    let mut all = ChangePage {
        changed: Vec::new(),
        deleted: Vec::new(),
        cursor: cursor.unwrap_or_default().to_owned(),
        more: true,
    };
    let mut at = cursor.map(str::to_owned);
    while all.more {
        let page = harness
            .crm()
            .changes(OPPORTUNITY, at.as_deref(), &harness.shape())
            .await
            .expect("a page");
        all.changed.extend(page.changed);
        all.deleted.extend(page.deleted);
        all.more = page.more;
        all.cursor.clone_from(&page.cursor);
        at = Some(page.cursor);
    }
    all
}

fn holds(page: &ChangePage, record: &Record) -> bool {
    page.changed
        .iter()
        .any(|changed| changed.key == record.key && changed.version == record.version)
}

/// The probe names an organisation and a user, and tells the time.
pub(crate) async fn the_probe_tells_who_we_are(harness: &impl Harness) {
    let probe = harness.crm().probe().await.expect("a probe");
    assert!(!probe.organization_id.is_empty());
    assert!(!probe.user_id.is_empty());
    assert!(probe.server_time.is_some());
}

/// A record that does not exist is `None`, not an error.
pub(crate) async fn no_record_is_none(harness: &impl Harness) {
    let id = harness.id_of_nothing();
    let found = harness.crm().fetch(OPPORTUNITY, &id, &harness.shape()).await;
    assert_eq!(found.expect("an answer"), None);
    let found = harness.crm().find_by_referral(OPPORTUNITY, REFERRAL, &harness.shape()).await;
    assert_eq!(found.expect("an answer"), []);
}

/// What is created is found by its id and by its referral id, all the same.
pub(crate) async fn a_created_record_is_found(harness: &impl Harness) {
    let made = create(harness, REFERRAL).await;
    assert_eq!(made.fields[&harness.shape().referral_field], json!(REFERRAL));
    assert_eq!(fetch(harness, &made).await, made);
    let found = harness.crm().find_by_referral(OPPORTUNITY, REFERRAL, &harness.shape()).await;
    assert_eq!(found.expect("an answer"), [made]);
}

/// Two identical creates leave one record, and the second one changes nothing.
pub(crate) async fn repeating_a_create_leaves_one_record(harness: &impl Harness) {
    let made = create(harness, REFERRAL).await;
    let again = harness
        .crm()
        .create(OPPORTUNITY, REFERRAL, &harness.create_fields(), &harness.shape())
        .await;
    assert!(matches!(again, Err(ConnectError::Exists(_))), "{again:?}");
    assert_eq!(harness.count(REFERRAL).await, 1);
    assert_eq!(fetch(harness, &made).await, made, "nothing was written");
}

/// A create whose answer is lost is `Unknown`, and repeating it leaves one record.
pub(crate) async fn a_create_with_a_lost_answer_is_unknown(harness: &impl Harness) {
    // Whatever the client reads once is read now.
    create(harness, "22222222-2222-4333-8444-555555555555").await;
    harness.lose_answer_of_next_write();
    let shape = harness.shape();
    let new = harness.create_fields();
    let lost = harness.crm().create(OPPORTUNITY, REFERRAL, &new, &shape).await;
    assert!(matches!(lost, Err(ConnectError::Unknown(_))), "{lost:?}");
    assert_eq!(harness.count(REFERRAL).await, 1, "it landed");
    let again = harness.crm().create(OPPORTUNITY, REFERRAL, &new, &shape).await;
    assert!(matches!(again, Err(ConnectError::Exists(_))), "{again:?}");
    assert_eq!(harness.count(REFERRAL).await, 1);
}

/// An update changes the named fields only, and returns what the record holds afterwards.
pub(crate) async fn an_update_changes_what_it_names(harness: &impl Harness) {
    let made = create(harness, REFERRAL).await;
    let change = fields(&[(harness.text_field(), json!("Fabrikam wants more"))]);
    let shape = harness.shape();
    let updated =
        harness.crm().update(&made, &made.version, &change, &shape).await.expect("an update");
    assert_ne!(updated.version, made.version);
    let mut expected = made.fields.clone();
    expected.extend(change);
    assert_eq!(updated.fields, expected);
    assert_eq!(fetch(harness, &made).await, updated);
    harness.advance(Duration::from_secs(2));
    let clear = fields(&[(harness.text_field(), Json::Null)]);
    let cleared =
        harness.crm().update(&updated, &updated.version, &clear, &shape).await.expect("an update");
    assert_eq!(cleared.fields[harness.text_field()], Json::Null);
}

/// A write that names an old version changes nothing.
pub(crate) async fn a_stale_version_is_refused(harness: &impl Harness) {
    let made = create(harness, REFERRAL).await;
    let edit = fields(&[(harness.text_field(), json!("a person was faster"))]);
    harness.edit_as_person(&made.key, edit).await;
    harness.advance(Duration::from_secs(2));
    let change = fields(&[(harness.text_field(), json!("ours"))]);
    let refused = harness.crm().update(&made, &made.version, &change, &harness.shape()).await;
    assert!(matches!(refused, Err(ConnectError::Stale)), "{refused:?}");
    let now = fetch(harness, &made).await;
    assert_eq!(now.fields[harness.text_field()], json!("a person was faster"));
}

/// An update whose answer is lost is `Unknown`; it landed, and its old version is stale.
pub(crate) async fn an_update_with_a_lost_answer_is_unknown(harness: &impl Harness) {
    let made = create(harness, REFERRAL).await;
    let shape = harness.shape();
    let change = fields(&[(harness.text_field(), json!("sent once"))]);
    harness.lose_answer_of_next_write();
    let lost = harness.crm().update(&made, &made.version, &change, &shape).await;
    assert!(matches!(lost, Err(ConnectError::Unknown(_))), "{lost:?}");
    harness.advance(Duration::from_secs(2));
    let landed = fetch(harness, &made).await;
    assert_eq!(landed.fields[harness.text_field()], json!("sent once"));
    let again = harness.crm().update(&made, &made.version, &change, &shape).await;
    assert!(matches!(again, Err(ConnectError::Stale)), "{again:?}");
}

/// A field the CRM does not have is refused, and nothing of the write lands.
pub(crate) async fn unknown_fields_are_refused(harness: &impl Harness) {
    let made = create(harness, REFERRAL).await;
    let shape = harness.shape();
    let change =
        fields(&[(harness.text_field(), json!("half of it")), ("nosuchfield", json!("x"))]);
    let refused = harness.crm().update(&made, &made.version, &change, &shape).await;
    let Err(ConnectError::Rejected(refusal)) = refused else { panic!("{refused:?}") };
    assert!(refusal.fields.iter().any(|field| field == "nosuchfield"), "{refusal:?}");
    assert_eq!(fetch(harness, &made).await, made);
    let other = "22222222-2222-4333-8444-555555555555";
    let mut new = harness.create_fields();
    new.insert("nosuchfield".to_owned(), json!("x"));
    let refused = harness.crm().create(OPPORTUNITY, other, &new, &shape).await;
    assert!(matches!(refused, Err(ConnectError::Rejected(_))), "{refused:?}");
    assert_eq!(harness.count(other).await, 0);
}

/// Amounts come back with the digits that were sent, dates on the day that was sent.
pub(crate) async fn money_is_exact_and_dates_never_shift(harness: &impl Harness) {
    let mut record = create(harness, REFERRAL).await;
    let table = [
        (json!(0.07), "2026-01-01", "small"),
        (json!(123_456_789.01), "2026-12-31", "no binary fraction"),
        (json!(99_999_999_999.99), "2028-02-29", "large, a leap day"),
        (json!(1_000_000), "2026-03-29", "whole, the day clocks change"),
    ];
    for (amount, day, why) in table {
        let change =
            fields(&[(harness.money_field(), amount.clone()), (harness.date_field(), json!(day))]);
        record = harness
            .crm()
            .update(&record, &record.version, &change, &harness.shape())
            .await
            .expect("an update");
        let found = record.fields[harness.money_field()].to_string();
        let found: rust_decimal::Decimal = found.parse().expect("an amount");
        let sent: rust_decimal::Decimal = amount.to_string().parse().expect("an amount");
        assert_eq!(found, sent, "{why}");
        assert_eq!(record.fields[harness.date_field()], json!(day), "{why}");
        harness.advance(Duration::from_secs(2));
    }
}

/// Own writes, people's edits and deletions appear in the feed; reading on gives no more.
pub(crate) async fn every_change_appears_in_the_feed(harness: &impl Harness) {
    let made = create(harness, REFERRAL).await;
    let first = read_all(harness, None).await;
    assert!(holds(&first, &made), "the first read holds everything");
    let quiet = read_all(harness, Some(&first.cursor)).await;
    assert!(quiet.deleted.is_empty());

    let change = fields(&[(harness.text_field(), json!("ours"))]);
    let ours = harness
        .crm()
        .update(&made, &made.version, &change, &harness.shape())
        .await
        .expect("an update");
    let second = read_all(harness, Some(&quiet.cursor)).await;
    assert!(holds(&second, &ours), "our own write");

    harness.advance(Duration::from_secs(2));
    let edit = fields(&[(harness.text_field(), json!("a person's"))]);
    harness.edit_as_person(&made.key, edit).await;
    harness.advance(Duration::from_secs(2));
    let theirs = fetch(harness, &made).await;
    let third = read_all(harness, Some(&second.cursor)).await;
    assert!(holds(&third, &theirs), "a person's edit");
    let repeated = read_all(harness, Some(&second.cursor)).await;
    assert!(holds(&repeated, &theirs), "a cursor can be read from again");

    harness.delete_as_person(&made.key).await;
    let fourth = read_all(harness, Some(&third.cursor)).await;
    assert!(fourth.deleted.contains(&made.key.id), "a deletion");
}

/// An expired cursor is reported, and a full read finds what happened in between.
pub(crate) async fn an_expired_cursor_is_reported(harness: &impl Harness) {
    let made = create(harness, REFERRAL).await;
    let before = read_all(harness, None).await;
    let edit = fields(&[(harness.text_field(), json!("in between"))]);
    harness.edit_as_person(&made.key, edit).await;
    harness.expire_cursors();
    let shape = harness.shape();
    let expired = harness.crm().changes(OPPORTUNITY, Some(&before.cursor), &shape).await;
    assert!(matches!(expired, Err(ConnectError::CursorExpired)), "{expired:?}");
    harness.advance(Duration::from_secs(2));
    let now = fetch(harness, &made).await;
    assert!(holds(&read_all(harness, None).await, &now), "the full read holds the change");
}

/// The vendor's wait is returned and holds for every later call, until it has passed.
pub(crate) async fn a_throttle_closes_the_door_for_its_wait(harness: &impl Harness) {
    let made = create(harness, REFERRAL).await;
    harness.throttle_next(37);
    let shape = harness.shape();
    let refused = harness.crm().fetch(OPPORTUNITY, &made.key.id, &shape).await;
    let Err(ConnectError::Throttled(wait)) = refused else { panic!("{refused:?}") };
    assert_eq!(wait, Duration::from_secs(37));
    harness.advance(Duration::from_secs(30));
    let early = harness.crm().fetch(OPPORTUNITY, &made.key.id, &shape).await;
    let Err(ConnectError::Throttled(wait)) = early else { panic!("{early:?}") };
    assert!(wait <= Duration::from_secs(7), "{wait:?}");
    harness.advance(Duration::from_secs(8));
    assert_eq!(fetch(harness, &made).await.key, made.key);
}

/// A close ends the record once, also when it is repeated.
pub(crate) async fn closing_twice_closes_once(harness: &impl Harness) {
    let made = create(harness, REFERRAL).await;
    let shape = harness.shape();
    let note = fields(&[(harness.text_field(), json!("written with the close"))]);
    let close = harness.winning();
    let won =
        harness.crm().close(&made, &made.version, &close, &note, &shape).await.expect("a close");
    assert!(harness.is_won(&won), "{won:?}");
    assert_eq!(won.fields[harness.text_field()], json!("written with the close"));
    assert!(harness.closings(&made.key).await.is_none_or(|count| count == 1));
}

/// A close whose answer is lost is `Unknown`; the worker reads and repeats it, and it happened once.
pub(crate) async fn a_close_with_a_lost_answer_happens_once(harness: &impl Harness) {
    let made = create(harness, REFERRAL).await;
    let shape = harness.shape();
    let note = fields(&[(harness.text_field(), json!("written with the close"))]);
    let close = harness.winning();
    harness.lose_answer_of_next_write();
    let lost = harness.crm().close(&made, &made.version, &close, &note, &shape).await;
    assert!(matches!(lost, Err(ConnectError::Unknown(_))), "{lost:?}");
    harness.advance(Duration::from_secs(2));
    let seen = fetch(harness, &made).await;
    assert!(harness.is_won(&seen), "it landed");
    let again = harness
        .crm()
        .close(&seen, &seen.version, &close, &note, &shape)
        .await
        .expect("a repeated close");
    assert!(harness.is_won(&again));
    assert!(harness.closings(&made.key).await.is_none_or(|count| count == 1));
}

/// A row of another table is found by a name with every awkward character, in any case.
pub(crate) async fn an_exact_search_finds_awkward_names(harness: &impl Harness) {
    for name in ["O'Brien & Søn", "100% (Northwind) + #1", "A'B''C'", "Fabrikam \\ \"Ltd\""] {
        let (table, name_field, new) = harness.account(name);
        let id = harness.crm().create_row(&table, &new).await.expect("a new account");
        let search = |text: &str| Search {
            table: table.clone(),
            equals: vec![(name_field.clone(), text.to_owned())],
            fields: vec![name_field.clone()],
            limit: 5,
        };
        let found = harness.crm().search(&search(&name.to_uppercase())).await.expect("rows");
        let ids: Vec<&RecordId> = found.iter().map(|row| &row.id).collect();
        assert_eq!(ids, [&id], "{name}");
        assert_eq!(found[0].fields[&name_field], json!(name));
        let none = harness.crm().search(&search(&format!("{name}' or 1 eq 1"))).await;
        assert_eq!(none.expect("rows"), [], "{name}");
    }
}

/// The schema names the fields that the shape reads, with their kinds.
pub(crate) async fn the_schema_describes_the_fields(harness: &impl Harness) {
    let schema = harness.crm().describe(OPPORTUNITY).await.expect("a schema");
    let kind = |name: &str| {
        schema.fields.iter().find(|field| field.name == name).map(|field| field.kind.as_str())
    };
    assert_eq!(kind(harness.money_field()), Some("money"));
    assert_eq!(kind(harness.date_field()), Some("date"));
    assert!(matches!(kind(harness.text_field()), Some("text" | "long_text")));
    assert!(schema.keys.contains(&harness.shape().referral_field), "{:?}", schema.keys);
}

/// Makes a test of each law. `$make` is an async function without arguments that returns a harness.
#[macro_export]
macro_rules! crm_laws {
    ($make:path) => {
        $crate::crm_laws!(
            $make: the_probe_tells_who_we_are, no_record_is_none, a_created_record_is_found,
            repeating_a_create_leaves_one_record, a_create_with_a_lost_answer_is_unknown,
            an_update_changes_what_it_names, a_stale_version_is_refused,
            an_update_with_a_lost_answer_is_unknown, unknown_fields_are_refused,
            money_is_exact_and_dates_never_shift, every_change_appears_in_the_feed,
            an_expired_cursor_is_reported, a_throttle_closes_the_door_for_its_wait,
            closing_twice_closes_once, a_close_with_a_lost_answer_happens_once,
            an_exact_search_finds_awkward_names, the_schema_describes_the_fields
        );
    };
    ($make:path: $($law:ident),+) => {
        $(
            #[tokio::test]
            async fn $law() {
                crm_laws::$law(&$make().await).await;
            }
        )+
    };
}
