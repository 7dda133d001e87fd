//! What a query says.

/// A column, perhaps through relationships: `Account.Owner.Email`.
pub(crate) type Path = Vec<String>;

/// A whole query.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Query {
    pub(crate) select: Select,
    /// Queries of the rows below each row; `from` names the way to them.
    pub(crate) below: Vec<Query>,
    pub(crate) from: String,
    pub(crate) filter: Option<Condition>,
    pub(crate) order: Vec<Order>,
    pub(crate) limit: Option<usize>,
    pub(crate) offset: usize,
}

/// What is selected.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Select {
    Columns(Vec<Path>),
    /// `COUNT()`: the number only.
    Count,
    /// `FIELDS(ALL)`, `FIELDS(STANDARD)` or `FIELDS(CUSTOM)`.
    Fields(String),
}

/// One key of the order.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Order {
    pub(crate) path: Path,
    pub(crate) descending: bool,
    pub(crate) nulls_last: bool,
}

/// A filter.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Condition {
    All(Vec<Self>),
    Any(Vec<Self>),
    Not(Box<Self>),
    Compare(Path, Operator, Literal),
    In(Path, bool, Vec<Literal>),
    /// Whether the value is among those of another query's one column.
    InRows(Path, bool, Box<Query>),
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Operator {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Like,
}

/// A value as written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Literal {
    Text(String),
    Number(f64),
    Bool(bool),
    Null,
    /// Start of the day.
    Date(crate::domain::time::Date),
    DateTime(crate::domain::time::Timestamp),
    /// `LAST_N_DAYS:30`, still to be worked out.
    Relative(String, Option<i64>),
}
