//! One field and how it is built up.

use serde_json::{Value, json};

/// The wire type of a field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Id,
    Text,
    TextArea,
    Boolean,
    Picklist,
    Url,
    Email,
    Phone,
    Currency,
    Percent,
    Int,
    Date,
    DateTime,
    Reference,
}

impl Kind {
    /// The name in a describe.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::Text => "string",
            Self::TextArea => "textarea",
            Self::Boolean => "boolean",
            Self::Picklist => "picklist",
            Self::Url => "url",
            Self::Email => "email",
            Self::Phone => "phone",
            Self::Currency => "currency",
            Self::Percent => "percent",
            Self::Int => "int",
            Self::Date => "date",
            Self::DateTime => "datetime",
            Self::Reference => "reference",
        }
    }

    /// Whether values are numbers.
    pub(crate) fn is_number(self) -> bool {
        matches!(self, Self::Currency | Self::Percent | Self::Int)
    }
}

/// One value of a picklist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    pub(crate) value: String,
    pub(crate) label: String,
    pub(crate) default: bool,
}

/// One field of one object.
#[derive(Debug, Clone)]
pub(crate) struct Field {
    pub(crate) name: String,
    pub(crate) label: String,
    pub(crate) kind: Kind,
    pub(crate) length: usize,
    pub(crate) precision: u32,
    pub(crate) scale: u32,
    pub(crate) required: bool,
    pub(crate) createable: bool,
    pub(crate) updateable: bool,
    pub(crate) external_id: bool,
    pub(crate) unique: bool,
    pub(crate) case_sensitive: bool,
    pub(crate) restricted: bool,
    pub(crate) choices: Vec<Choice>,
    pub(crate) reference_to: Vec<String>,
    pub(crate) relationship: Option<String>,
    /// The way back: from the row it points to, to the rows that point there.
    pub(crate) way_down: Option<String>,
    pub(crate) custom: bool,
    /// Readable by everyone; otherwise a permission set must grant it.
    pub(crate) open_to_read: bool,
    /// Writable by everyone who may read it.
    pub(crate) open_to_edit: bool,
}

impl Field {
    /// A nillable, writable, visible field.
    pub(crate) fn new(name: &str, kind: Kind, length: usize) -> Self {
        Self {
            name: name.to_owned(),
            label: label_of(name),
            kind,
            length,
            precision: 0,
            scale: 0,
            required: false,
            createable: kind != Kind::Id,
            updateable: kind != Kind::Id,
            external_id: false,
            unique: false,
            case_sensitive: false,
            restricted: false,
            choices: Vec::new(),
            reference_to: Vec::new(),
            relationship: None,
            way_down: None,
            custom: name.ends_with("__c"),
            open_to_read: true,
            open_to_edit: true,
        }
    }

    pub(crate) fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(crate) fn read_only(mut self) -> Self {
        self.createable = false;
        self.updateable = false;
        self
    }

    pub(crate) fn digits(mut self, precision: u32, scale: u32) -> Self {
        self.precision = precision;
        self.scale = scale;
        self
    }

    pub(crate) fn choices(mut self, values: &[&str]) -> Self {
        self.choices = values
            .iter()
            .map(|value| Choice {
                value: (*value).to_owned(),
                label: (*value).to_owned(),
                default: false,
            })
            .collect();
        self
    }

    pub(crate) fn default_choice(mut self, value: &str) -> Self {
        for choice in &mut self.choices {
            choice.default = choice.value == value;
        }
        self
    }

    pub(crate) fn restricted(mut self, restricted: bool) -> Self {
        self.restricted = restricted;
        self
    }

    pub(crate) fn external_id(mut self, unique: bool) -> Self {
        self.external_id = true;
        self.unique = unique;
        self
    }

    /// What the Tooling API tells about it.
    pub(crate) fn metadata(&self) -> Value {
        let kind = match self.kind {
            Kind::Boolean => "Checkbox",
            Kind::TextArea => "LongTextArea",
            Kind::Picklist => "Picklist",
            Kind::Url => "Url",
            _ => "Text",
        };
        let mut metadata = json!({ "type": kind, "label": self.label, "required": self.required });
        match self.kind {
            Kind::Boolean => metadata["defaultValue"] = json!("false"),
            Kind::Text => {
                metadata["length"] = json!(self.length);
                metadata["externalId"] = json!(self.external_id);
                metadata["unique"] = json!(self.unique);
                metadata["caseSensitive"] = json!(self.case_sensitive);
            }
            Kind::TextArea => {
                metadata["length"] = json!(self.length);
                metadata["visibleLines"] = json!(4);
            }
            Kind::Picklist => {
                let value = |choice: &Choice| {
                    json!({
                        "fullName": choice.value, "label": choice.label, "default": choice.default,
                    })
                };
                let values: Vec<Value> = self.choices.iter().map(value).collect();
                metadata["valueSet"] = json!({
                    "restricted": self.restricted,
                    "valueSetDefinition": { "sorted": false, "value": values },
                });
            }
            _ => {}
        }
        metadata
    }

    /// Long text cannot be filtered, sorted or grouped.
    pub(crate) fn is_long_text(&self) -> bool {
        self.kind == Kind::TextArea && self.length > 255
    }
}

/// A text field.
pub(crate) fn text(name: &str, length: usize) -> Field {
    Field::new(name, Kind::Text, length)
}

/// A reference to `target`; its relationship name is the name without `Id`.
pub(crate) fn reference(name: &str, target: &str) -> Field {
    let mut field = Field::new(name, Kind::Reference, 18);
    field.reference_to = vec![target.to_owned()];
    field.relationship = Some(name.strip_suffix("Id").unwrap_or(name).to_owned());
    field
}

/// A picklist, not restricted.
pub(crate) fn picklist(name: &str, values: &[&str]) -> Field {
    Field::new(name, Kind::Picklist, 255).choices(values)
}

/// A checkbox.
pub(crate) fn checkbox(name: &str) -> Field {
    Field::new(name, Kind::Boolean, 0)
}

/// What every object begins with.
pub(crate) fn first_fields() -> Vec<Field> {
    vec![Field::new("Id", Kind::Id, 18), checkbox("IsDeleted").read_only()]
}

/// What every object ends with: the stamps that the platform keeps.
pub(crate) fn system_fields() -> Vec<Field> {
    let moment = |name| Field::new(name, Kind::DateTime, 0).read_only();
    vec![
        moment("CreatedDate"),
        reference("CreatedById", "User").read_only(),
        moment("LastModifiedDate"),
        reference("LastModifiedById", "User").read_only(),
        moment("SystemModstamp"),
    ]
}

/// `CloseDate` becomes `Close Date`, `Sync_Audit__c` becomes `Sync Audit`.
fn label_of(name: &str) -> String {
    if let Some(custom) = name.strip_suffix("__c") {
        let own = custom.rsplit("__").next().unwrap_or(custom);
        return own.replace('_', " ");
    }
    let mut label = String::new();
    let mut before = ' ';
    for character in name.chars() {
        if character.is_ascii_uppercase() && before.is_ascii_lowercase() {
            label.push(' ');
        }
        label.push(character);
        before = character;
    }
    label
}
