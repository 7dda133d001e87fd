//! The state of the emulated organisation, and the rows in it.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::auth::Sessions;
use super::failure::Failure;
use super::hooks::Hooks;
use super::id::{self, Ids};
use super::options::SandboxOptions;
use super::schema::{Field, Object, Schema};
use super::soql::Cursors;
use super::stamp;
use super::usage::Usage;
use crate::connect::sandbox::SandboxClock;
use crate::domain::time::Timestamp;

/// A row's fields by name, in wire form.
pub type Fields = Map<String, Value>;

/// One stored row.
#[derive(Debug, Clone)]
pub(crate) struct Row {
    pub(crate) fields: Fields,
    /// When it went to the recycle bin.
    pub(crate) deleted_at: Option<Timestamp>,
}

/// What a transaction replaced: object, id, and the row before.
pub(crate) type Journal = Vec<(String, String, Option<Row>)>;

/// One emulated organisation. Hooks get it to act between two steps of a request; everybody else
/// uses [`super::SalesforceSandbox`].
pub struct Org {
    pub(crate) options: SandboxOptions,
    pub(crate) clock: SandboxClock,
    pub(crate) schema: Schema,
    pub(crate) sessions: Sessions,
    pub(crate) cursors: Cursors,
    pub(crate) usage: Usage,
    pub(crate) hooks: Hooks,
    pub(crate) ids: Ids,
    /// Rows that an approval process holds.
    pub(crate) approval_locks: BTreeSet<String>,
    /// Whom assignment rules give leads to.
    pub(crate) lead_assignee: Option<String>,
    /// Lead field to opportunity field, applied by a conversion.
    pub(crate) lead_mapping: Vec<(String, String)>,
    /// Deletions before this have left the delete log.
    pub(crate) deletes_trimmed_before: Option<Timestamp>,
    /// The event bus.
    #[cfg(feature = "pubsub")]
    pub(crate) bus: super::pubsub::Bus,
    pub(crate) organization_id: String,
    pub(crate) integration_user: String,
    pub(crate) seller: String,
    rows: BTreeMap<String, BTreeMap<String, Row>>,
    journal: Option<Journal>,
}

impl Org {
    /// An organisation with its users and setup rows.
    pub(crate) fn new(options: SandboxOptions, clock: SandboxClock) -> Self {
        let mut ids = Ids::new(options.instance);
        let mut org = Self {
            schema: Schema::new(&options),
            sessions: Sessions::new(&options),
            cursors: Cursors::default(),
            usage: Usage::new(options.daily_quota),
            hooks: Hooks::default(),
            approval_locks: BTreeSet::new(),
            lead_assignee: None,
            lead_mapping: Vec::new(),
            deletes_trimmed_before: None,
            #[cfg(feature = "pubsub")]
            bus: super::pubsub::Bus::default(),
            organization_id: ids.make("00D"),
            integration_user: ids.make("005"),
            seller: ids.make("005"),
            ids,
            rows: BTreeMap::new(),
            journal: None,
            options,
            clock,
        };
        super::setup::fill(&mut org);
        org
    }

    /// The emulated time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// The object of this name under `/sobjects` or, with `tooling`, under `/tooling`.
    pub(crate) fn object(&self, name: &str, tooling: bool) -> Option<&Object> {
        self.schema.object(name).filter(|object| !object.tooling || tooling)
    }

    /// The row with this id, deleted or not.
    pub(crate) fn stored(&self, object: &str, id: &str) -> Option<&Row> {
        self.rows.get(object)?.get(id)
    }

    /// The row with this id in either form, unless it is missing or deleted.
    pub(crate) fn live(&self, object: &str, id: &str) -> Result<(String, &Row), Failure> {
        let id = id::normal(id).ok_or_else(Failure::not_found)?;
        let row = self.stored(object, &id).ok_or_else(Failure::not_found)?;
        if row.deleted_at.is_some() {
            return Err(Failure::row("ENTITY_IS_DELETED", "entity is deleted", &[]));
        }
        Ok((id, row))
    }

    /// Every row of an object by id, deleted ones included.
    pub(crate) fn table(&self, object: &str) -> impl Iterator<Item = (&String, &Row)> {
        self.rows.get(object).into_iter().flatten()
    }

    /// Every row of an object that is not deleted.
    pub(crate) fn live_rows(&self, object: &str) -> impl Iterator<Item = (&String, &Row)> {
        self.table(object).filter(|(_, row)| row.deleted_at.is_none())
    }

    /// Stores a row, or with `None` removes it for good.
    pub(crate) fn put(&mut self, object: &str, id: &str, row: Option<Row>) {
        let before = self.set(object, id, row);
        #[cfg(feature = "pubsub")]
        if self.journal.is_none() {
            self.announce(object, id, before.as_ref());
        }
        if let Some(journal) = &mut self.journal {
            journal.push((object.to_owned(), id.to_owned(), before));
        }
    }

    /// Stores or removes a row and returns what was there before.
    fn set(&mut self, object: &str, id: &str, row: Option<Row>) -> Option<Row> {
        let table = self.rows.entry(object.to_owned()).or_default();
        match row {
            Some(row) => table.insert(id.to_owned(), row),
            None => table.remove(id),
        }
    }

    /// Starts a transaction; only one is open at a time.
    pub(crate) fn begin(&mut self) {
        self.journal = Some(Vec::new());
    }

    /// Sets the open transaction aside; give it back to [`Org::resume`].
    pub(crate) fn pause(&mut self) -> Option<Journal> {
        self.journal.take()
    }

    /// Goes on with a transaction.
    pub(crate) fn resume(&mut self, open: Option<Journal>) {
        self.journal = open;
    }

    /// Whether a transaction is open.
    pub(crate) fn in_transaction(&self) -> bool {
        self.journal.is_some()
    }

    /// Ends the transaction and keeps, or with `keep` false undoes, what was stored in it.
    pub(crate) fn end(&mut self, keep: bool) {
        let journal = self.journal.take().unwrap_or_default();
        if keep {
            #[cfg(feature = "pubsub")]
            self.announce_all(journal);
            return;
        }
        for (object, id, before) in journal.into_iter().rev() {
            self.set(&object, &id, before);
        }
    }

    /// Publishes one event for each row of a transaction.
    #[cfg(feature = "pubsub")]
    fn announce_all(&mut self, journal: Journal) {
        let mut told = BTreeSet::new();
        for (object, id, before) in journal {
            if told.insert((object.clone(), id.clone())) {
                self.announce(&object, &id, before.as_ref());
            }
        }
    }

    /// Stamps a row as changed now by `user`.
    pub(crate) fn touch(&self, fields: &mut Fields, user: &str) {
        let now = json!(stamp::wire(stamp::whole_second(self.now())));
        fields.insert("LastModifiedDate".into(), now.clone());
        fields.insert("SystemModstamp".into(), now);
        fields.insert("LastModifiedById".into(), json!(user));
    }

    /// Whether `user` may read, and edit, a field.
    pub(crate) fn access(&self, object: &Object, field: &Field, user: &str) -> (bool, bool) {
        if field.open_to_read && field.open_to_edit {
            return (true, true);
        }
        let wanted = format!("{}.{}", object.name, field.name);
        let grants = self.live_rows("FieldPermissions").filter(|(_, row)| {
            row.fields["Field"] == wanted
                && row.fields["ParentId"].as_str().is_some_and(|set| self.holds(user, set))
        });
        grants.fold((field.open_to_read, field.open_to_edit), |(read, edit), (_, row)| {
            let on = |name: &str| row.fields[name] == json!(true);
            (read || on("PermissionsRead") || on("PermissionsEdit"), edit || on("PermissionsEdit"))
        })
    }

    /// The field of this name if `user` may see it.
    pub(crate) fn visible<'a>(
        &self,
        object: &'a Object,
        name: &str,
        user: &str,
    ) -> Option<&'a Field> {
        object.field(name).filter(|field| self.access(object, field, user).0)
    }

    /// Whether `user` may read the rows of an object. Without that right it is as if it did not exist.
    pub(crate) fn may_read(&self, object: &Object, user: &str) -> bool {
        object.open_to_read || self.is_granted(object, user, "PermissionsRead")
    }

    /// Whether `user` may do to the rows of an object what this checkbox of `ObjectPermissions` says.
    pub(crate) fn may(&self, object: &Object, user: &str, what: &str) -> bool {
        object.open_to_write || self.is_granted(object, user, what)
    }

    fn is_granted(&self, object: &Object, user: &str, what: &str) -> bool {
        self.live_rows("ObjectPermissions").any(|(_, row)| {
            row.fields["SobjectType"] == object.name.as_str()
                && row.fields[what] == json!(true)
                && row.fields["ParentId"].as_str().is_some_and(|set| self.holds(user, set))
        })
    }

    /// Whether the integration user has this permission, such as `CustomizeApplication`.
    pub(crate) fn is_permitted(&self, name: &str) -> bool {
        let column = format!("Permissions{name}");
        self.live_rows("UserPermissionAccess").all(|(_, row)| row.fields[&column] == json!(true))
    }

    /// Whether `user` has the permission set, by assignment or through the profile.
    fn holds(&self, user: &str, set: &str) -> bool {
        let assigned = self.live_rows("PermissionSetAssignment").any(|(_, row)| {
            row.fields["AssigneeId"] == user && row.fields["PermissionSetId"] == set
        });
        let profile = self.stored("User", user).map(|row| &row.fields["ProfileId"]);
        let owned = self.stored("PermissionSet", set).map(|row| &row.fields["ProfileId"]);
        assigned || (profile.is_some_and(Value::is_string) && profile == owned)
    }
}
