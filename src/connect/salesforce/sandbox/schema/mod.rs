//! What the emulated organisation knows about its objects and fields.

mod children;
mod cosell;
mod custom;
mod describe;
mod field;
mod people;
mod sales;
mod setup;

use std::collections::BTreeMap;

pub(crate) use custom::from_metadata;
pub(crate) use describe::{global, object};
pub(crate) use field::{Field, Kind, checkbox};
pub(crate) use people::PERMISSIONS;

use super::options::SandboxOptions;

/// One object: a table with typed fields.
#[derive(Debug, Clone)]
pub(crate) struct Object {
    pub(crate) name: String,
    pub(crate) plural: String,
    pub(crate) prefix: String,
    pub(crate) createable: bool,
    pub(crate) updateable: bool,
    pub(crate) deletable: bool,
    /// Lives under `/tooling` only.
    pub(crate) tooling: bool,
    /// Writable by everyone; otherwise a permission set must grant it.
    pub(crate) open_to_write: bool,
    /// Readable by everyone; otherwise a permission set must grant it.
    pub(crate) open_to_read: bool,
    pub(crate) fields: Vec<Field>,
}

impl Object {
    fn new(name: &str, plural: &str, prefix: &str, fields: Vec<Field>) -> Self {
        let mut all = field::first_fields();
        all.extend(fields);
        all.extend(field::system_fields());
        Self {
            name: name.to_owned(),
            plural: plural.to_owned(),
            prefix: prefix.to_owned(),
            createable: true,
            updateable: true,
            deletable: true,
            tooling: false,
            open_to_write: true,
            open_to_read: true,
            fields: all,
        }
    }

    fn read_only(mut self) -> Self {
        self.createable = false;
        self.updateable = false;
        self.deletable = false;
        self
    }

    fn tooling(mut self) -> Self {
        self.tooling = true;
        self
    }

    /// The field of this name, whatever its case.
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name))
    }

    /// The reference field behind a relationship name such as `Account`.
    pub(crate) fn relationship(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| {
            field.relationship.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(name))
        })
    }
}

/// All objects by name.
#[derive(Debug, Clone)]
pub(crate) struct Schema {
    objects: BTreeMap<String, Object>,
}

impl Schema {
    /// The standard objects, with the co-sell fields if the options ask for them.
    pub(crate) fn new(options: &SandboxOptions) -> Self {
        let mut objects = BTreeMap::new();
        let all = sales::objects(options).into_iter().chain(children::objects());
        let all = all.chain(people::objects()).chain(setup::objects());
        for object in all {
            objects.insert(object.name.clone(), object);
        }
        let mut schema = Self { objects };
        if options.cosell_fields {
            schema.install_cosell(&options.field_prefix, options.unique_referral);
        }
        schema
    }

    /// Adds the co-sell fields, visible to everyone, to Opportunity and Lead.
    pub(crate) fn install_cosell(&mut self, prefix: &str, unique: bool) {
        for name in ["Opportunity", "Lead"] {
            if let Some(object) = self.objects.get_mut(name) {
                let fields = cosell::fields(prefix, unique);
                object.fields.retain(|old| fields.iter().all(|new| new.name != old.name));
                object.fields.extend(fields);
            }
        }
    }

    /// The object of this name, whatever its case.
    pub(crate) fn object(&self, name: &str) -> Option<&Object> {
        self.objects.values().find(|object| object.name.eq_ignore_ascii_case(name))
    }

    /// The object of this name, to change it.
    pub(crate) fn object_mut(&mut self, name: &str) -> Option<&mut Object> {
        self.objects.values_mut().find(|object| object.name.eq_ignore_ascii_case(name))
    }

    /// The object whose rows a way leads down to, and the field by which they point back.
    pub(crate) fn below(&self, above: &str, way: &str) -> Option<(&Object, &Field)> {
        self.ways_down(above).find(|(_, field)| {
            field.way_down.as_deref().is_some_and(|known| known.eq_ignore_ascii_case(way))
        })
    }

    /// Every way down from an object.
    pub(crate) fn ways_down(&self, above: &str) -> impl Iterator<Item = (&Object, &Field)> {
        let all = self.objects.values();
        all.flat_map(|object| object.fields.iter().map(move |field| (object, field)))
            .filter(|(_, field)| field.way_down.is_some())
            .filter(move |(_, field)| field.reference_to.iter().any(|target| target == above))
    }

    /// Every object.
    pub(crate) fn objects(&self) -> impl Iterator<Item = &Object> {
        self.objects.values()
    }
}
