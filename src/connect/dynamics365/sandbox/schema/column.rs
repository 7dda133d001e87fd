//! One column: its type, its limits and when it may be written.

use crate::connect::dynamics365::sandbox::state::stable_guid;

/// One column.
#[derive(Debug, Clone)]
pub(in super::super) struct Column {
    /// Logical name, lower case.
    pub(in super::super) logical: String,
    /// Schema name.
    pub(in super::super) schema_name: String,
    /// Label for people.
    pub(in super::super) label: String,
    /// Id of the definition.
    pub(in super::super) metadata_id: String,
    /// Type and limits.
    pub(in super::super) kind: Kind,
    /// Whether a value in a create is used; ignored otherwise.
    pub(in super::super) creatable: bool,
    /// Whether a value in an update is used; ignored otherwise.
    pub(in super::super) updatable: bool,
    /// Whether a row without it is refused (`SystemRequired`).
    pub(in super::super) required: bool,
    /// Whether it was added by a customer.
    pub(in super::super) custom: bool,
    /// Whether its value can be read back; `authvalue` cannot.
    pub(in super::super) readable: bool,
}

/// Type and limits of a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) enum Kind {
    /// One line of text: longest length and format name.
    Text(usize, &'static str),
    /// Several lines of text: longest length.
    Memo(usize),
    /// 32-bit number: least and greatest.
    Integer(i64, i64),
    /// 64-bit number.
    Big,
    /// Exact number: digits after the point.
    Decimal(u32),
    /// Binary floating point number.
    Double,
    /// Amount of money: least, greatest, digits after the point.
    Money {
        /// Least amount.
        min: i64,
        /// Greatest amount.
        max: i64,
        /// Digits after the point.
        precision: u32,
    },
    /// Two options: label of false, label of true.
    Boolean(String, String),
    /// A date without a time.
    Date,
    /// A moment in UTC, whole seconds.
    Instant,
    /// One of a list.
    Choice(Vec<Choice>),
    /// The state.
    State(Vec<Choice>),
    /// The status reason.
    Status(Vec<Choice>),
    /// A reference to another row, with one target for each navigation property.
    Lookup(Vec<Target>),
    /// A primary key.
    Guid,
}

/// One option of a choice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Choice {
    /// The number on the wire.
    pub(in super::super) value: i64,
    /// The label for people.
    pub(in super::super) label: String,
    /// For a status reason: the state it belongs to.
    pub(in super::super) state: Option<i64>,
}

/// A table that a lookup may point to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct Target {
    /// Logical name of the table.
    pub(in super::super) table: String,
    /// Navigation property, case-sensitive.
    pub(in super::super) navigation: String,
}

impl Column {
    pub(in super::super) fn new(logical: &str, kind: Kind) -> Self {
        Self {
            logical: logical.to_ascii_lowercase(),
            schema_name: logical.to_owned(),
            label: logical.to_owned(),
            metadata_id: String::new(),
            kind,
            creatable: true,
            updatable: true,
            required: false,
            custom: false,
            readable: true,
        }
    }

    pub(super) fn text(logical: &str, max: usize) -> Self {
        Self::new(logical, Kind::Text(max, "Text"))
    }

    pub(super) fn memo(logical: &str) -> Self {
        Self::new(logical, Kind::Memo(2000))
    }

    pub(super) fn money(logical: &str, min: i64) -> Self {
        Self::new(logical, Kind::Money { min, max: 1_000_000_000_000, precision: 2 })
    }

    pub(super) fn boolean(logical: &str) -> Self {
        Self::new(logical, Kind::Boolean("No".to_owned(), "Yes".to_owned()))
    }

    pub(super) fn lookup(logical: &str, targets: &[(&str, &str)]) -> Self {
        let targets = targets
            .iter()
            .map(|(table, navigation)| Target {
                table: (*table).to_owned(),
                navigation: (*navigation).to_owned(),
            })
            .collect();
        Self::new(logical, Kind::Lookup(targets))
    }

    pub(super) fn choice(logical: &str, options: &[(i64, &str)]) -> Self {
        Self::new(logical, Kind::Choice(choices(options)))
    }

    pub(super) fn state(options: &[(i64, &str)]) -> Self {
        let mut column = Self::new("statecode", Kind::State(choices(options)));
        column.creatable = false;
        column
    }

    pub(super) fn status(options: &[(i64, &str, i64)]) -> Self {
        let options = options
            .iter()
            .map(|(value, label, state)| Choice {
                value: *value,
                label: (*label).to_owned(),
                state: Some(*state),
            })
            .collect();
        Self::new("statuscode", Kind::Status(options))
    }

    pub(super) fn owned_by(mut self, table: &str) -> Self {
        self.metadata_id = stable_guid(table, &self.logical);
        self
    }

    pub(super) fn labelled(mut self, label: &str) -> Self {
        label.clone_into(&mut self.label);
        self
    }

    pub(super) fn read_only(mut self) -> Self {
        self.creatable = false;
        self.updatable = false;
        self
    }

    pub(super) fn create_only(mut self) -> Self {
        self.updatable = false;
        self
    }

    pub(super) fn required(mut self) -> Self {
        self.required = true;
        self
    }

    pub(super) fn custom(mut self) -> Self {
        self.custom = true;
        self
    }

    pub(super) fn unreadable(mut self) -> Self {
        self.readable = false;
        self
    }

    /// The name under which a row shows it.
    pub(in super::super) fn wire_name(&self) -> String {
        if matches!(self.kind, Kind::Lookup(_)) {
            format!("_{}_value", self.logical)
        } else {
            self.logical.clone()
        }
    }

    /// The options of a choice, a state or a status reason.
    pub(in super::super) fn options(&self) -> &[Choice] {
        match &self.kind {
            Kind::Choice(options) | Kind::State(options) | Kind::Status(options) => options,
            _ => &[],
        }
    }
}

fn choices(options: &[(i64, &str)]) -> Vec<Choice> {
    options
        .iter()
        .map(|(value, label)| Choice { value: *value, label: (*label).to_owned(), state: None })
        .collect()
}
