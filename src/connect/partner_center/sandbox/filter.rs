//! The part of OData's `$filter` that the reference proves (2.3).
//!
//! Grammar: `or` of `and` of terms; a term is `not term`, `(filter)`, `path/any(x:filter)` or
//! `path operator literal`. Paths go through `/`.

use serde_json::Value as Json;

use super::literal::{Literal, Token, tokens};
use crate::domain::time::Timestamp;

/// Filters deeper than this are refused, so that a hostile one cannot exhaust the stack.
const DEEPEST: u32 = 32;

/// A parsed filter.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Filter {
    Or(Box<Filter>, Box<Filter>),
    And(Box<Filter>, Box<Filter>),
    Not(Box<Filter>),
    Any { path: Vec<String>, variable: String, inner: Box<Filter> },
    Compare { path: Vec<String>, operator: Operator, literal: Literal },
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

impl Operator {
    fn parse(word: &str) -> Option<Self> {
        Some(match word {
            "eq" => Self::Equal,
            "ne" => Self::NotEqual,
            "gt" => Self::Greater,
            "ge" => Self::GreaterOrEqual,
            "lt" => Self::Less,
            "le" => Self::LessOrEqual,
            _ => return None,
        })
    }

    fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Equal => order.is_eq(),
            Self::NotEqual => order.is_ne(),
            Self::Greater => order.is_gt(),
            Self::GreaterOrEqual => order.is_ge(),
            Self::Less => order.is_lt(),
            Self::LessOrEqual => order.is_le(),
        }
    }
}

impl Filter {
    /// Reads a filter. The error is a sentence for the client.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { tokens: tokens(text)?, at: 0, depth: 0 };
        let filter = parser.either()?;
        match parser.next() {
            None => Ok(filter),
            Some(token) => Err(format!("Unexpected {token:?} after the end of the filter.")),
        }
    }

    /// Whether `item` passes.
    pub(super) fn holds(&self, item: &Json) -> bool {
        match self {
            Self::Or(left, right) => left.holds(item) || right.holds(item),
            Self::And(left, right) => left.holds(item) && right.holds(item),
            Self::Not(inner) => !inner.holds(item),
            Self::Any { path, inner, .. } => step(item, path)
                .and_then(Json::as_array)
                .is_some_and(|items| items.iter().any(|item| inner.holds(item))),
            Self::Compare { path, operator, literal } => {
                compare(step(item, path).unwrap_or(&Json::Null), *operator, literal)
            }
        }
    }

    /// Visits every comparison outside `any`, with its first path step and literal.
    pub(super) fn comparisons(&self, visit: &mut dyn FnMut(&str, &Literal)) {
        match self {
            Self::Or(left, right) | Self::And(left, right) => {
                left.comparisons(visit);
                right.comparisons(visit);
            }
            Self::Not(inner) => inner.comparisons(visit),
            Self::Any { .. } => {}
            Self::Compare { path, literal, .. } => {
                visit(path.first().map_or("", String::as_str), literal);
            }
        }
    }
}

/// The value at a path; names are compared without case.
fn step<'json>(item: &'json Json, path: &[String]) -> Option<&'json Json> {
    path.iter().try_fold(item, |at, name| super::casing::lookup(at, name))
}

fn compare(value: &Json, operator: Operator, literal: &Literal) -> bool {
    let order = match (value, literal) {
        (Json::Null, Literal::Null) => return operator == Operator::Equal,
        (_, Literal::Null) | (Json::Null, _) => return operator == Operator::NotEqual,
        (Json::Bool(value), Literal::Bool(literal)) => value.cmp(literal),
        (Json::Number(value), Literal::Number(literal)) => {
            match value.as_f64().and_then(|value| value.partial_cmp(literal)) {
                Some(order) => order,
                None => return false,
            }
        }
        (Json::String(value), Literal::Text(literal) | Literal::Bare(literal)) => {
            compare_texts(value, literal)
        }
        _ => return operator == Operator::NotEqual,
    };
    operator.holds(order)
}

/// Instants are compared as instants and GUIDs without case; everything else letter by letter.
fn compare_texts(value: &str, literal: &str) -> std::cmp::Ordering {
    match (instant(value), instant(literal)) {
        (Some(value), Some(literal)) => value.cmp(&literal),
        _ if value.eq_ignore_ascii_case(literal) && uuid::Uuid::try_parse(value).is_ok() => {
            std::cmp::Ordering::Equal
        }
        _ => value.cmp(literal),
    }
}

/// A moment with all the digits of its fraction: whole milliseconds, then the digits after them.
pub(super) fn instant(text: &str) -> Option<(i64, String)> {
    if text.len() < 19 || text.as_bytes().get(10) != Some(&b'T') {
        return None;
    }
    let millis = Timestamp::parse(text)?.as_millis();
    let fraction = text.split_once('.').map_or("", |(_, rest)| rest);
    let digits: String = fraction.chars().take_while(char::is_ascii_digit).skip(3).collect();
    Some((millis, format!("{digits:0<6}")))
}

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    depth: u32,
}

impl Parser {
    fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at).cloned();
        self.at += 1;
        token
    }

    fn takes(&mut self, token: &Token) -> bool {
        let hit = self.tokens.get(self.at) == Some(token);
        self.at += usize::from(hit);
        hit
    }

    fn takes_word(&mut self, word: &str) -> bool {
        self.takes(&Token::Word(word.to_owned()))
    }

    fn needs(&mut self, token: &Token) -> Result<(), String> {
        if self.takes(token) { Ok(()) } else { Err(format!("Expected {token:?}.")) }
    }

    fn either(&mut self) -> Result<Filter, String> {
        let mut left = self.both()?;
        while self.takes_word("or") {
            left = Filter::Or(Box::new(left), Box::new(self.both()?));
        }
        Ok(left)
    }

    fn both(&mut self) -> Result<Filter, String> {
        let mut left = self.term()?;
        while self.takes_word("and") {
            left = Filter::And(Box::new(left), Box::new(self.term()?));
        }
        Ok(left)
    }

    fn term(&mut self) -> Result<Filter, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("The filter is nested too deeply.".to_owned());
        }
        let term = self.inner_term();
        self.depth -= 1;
        term
    }

    fn inner_term(&mut self) -> Result<Filter, String> {
        if self.takes(&Token::Open) {
            let inner = self.either()?;
            self.needs(&Token::Close)?;
            return Ok(inner);
        }
        if self.takes_word("not") {
            return Ok(Filter::Not(Box::new(self.term()?)));
        }
        let mut path = self.path()?;
        if path.last().is_some_and(|last| last == "any") && self.takes(&Token::Open) {
            path.pop();
            return self.any(path);
        }
        let operator = match self.next() {
            Some(Token::Word(word)) => {
                Operator::parse(&word).ok_or_else(|| format!("'{word}' is not an operator."))?
            }
            _ => return Err("Expected an operator.".to_owned()),
        };
        let literal = match self.next() {
            Some(Token::Text(text)) => Literal::Text(text),
            Some(Token::Word(word)) => Literal::of_word(&word)?,
            _ => return Err("Expected a literal.".to_owned()),
        };
        Ok(Filter::Compare { path, operator, literal })
    }

    fn any(&mut self, path: Vec<String>) -> Result<Filter, String> {
        let Some(Token::Word(variable)) = self.next() else {
            return Err("Expected a range variable.".to_owned());
        };
        self.needs(&Token::Colon)?;
        let mut inner = self.either()?;
        self.needs(&Token::Close)?;
        without_variable(&mut inner, &variable)?;
        Ok(Filter::Any { path, variable, inner: Box::new(inner) })
    }

    fn path(&mut self) -> Result<Vec<String>, String> {
        let mut path = Vec::new();
        loop {
            match self.next() {
                Some(Token::Word(word)) => path.push(word),
                _ => return Err("Expected a property.".to_owned()),
            }
            if !self.takes(&Token::Slash) {
                return Ok(path);
            }
        }
    }
}

/// Inside `any(t: ...)` every path starts at `t`, which is then taken off.
fn without_variable(filter: &mut Filter, variable: &str) -> Result<(), String> {
    match filter {
        Filter::Or(left, right) | Filter::And(left, right) => {
            without_variable(left, variable)?;
            without_variable(right, variable)
        }
        Filter::Not(inner) => without_variable(inner, variable),
        Filter::Any { path, .. } | Filter::Compare { path, .. } => {
            if path.first().is_some_and(|first| first == variable) {
                path.remove(0);
                Ok(())
            } else {
                Err(format!("Inside any() a path must start with '{variable}'."))
            }
        }
    }
}
