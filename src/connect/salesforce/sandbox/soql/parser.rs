//! Reads a query.

use super::ast::{Condition, Literal, Operator, Order, Path, Query, Select};
use super::lexer::{Token, What, malformed, tokens};
use super::literal;
use crate::connect::salesforce::sandbox::failure::Failure;

/// Deepest nesting of parentheses; a query beyond it is refused rather than read.
const DEEPEST: usize = 50;
/// Words that end a list of names.
const CLAUSES: [&str; 9] =
    ["FROM", "WHERE", "ORDER", "LIMIT", "OFFSET", "GROUP", "HAVING", "WITH", "FOR"];

/// Reads one query.
///
/// # Errors
///
/// `MALFORMED_QUERY` with the place marked.
pub(crate) fn parse(query: &str) -> Result<Query, Failure> {
    let mut parser = Parser { query, tokens: tokens(query)?, at: 0, depth: 0, inside: false };
    let whole = parser.whole()?;
    if parser.at < parser.tokens.len() {
        return Err(parser.unexpected());
    }
    Ok(whole)
}

struct Parser<'a> {
    query: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    /// Within a query in brackets, which holds no further one.
    inside: bool,
}

impl Parser<'_> {
    fn whole(&mut self) -> Result<Query, Failure> {
        self.keyword("SELECT")?;
        let (select, below) = self.select()?;
        self.keyword("FROM")?;
        let from = self.name()?;
        let filter = if self.takes("WHERE") { Some(self.condition()?) } else { None };
        let mut order = Vec::new();
        if self.takes("ORDER") {
            self.keyword("BY")?;
            order.push(self.order()?);
            while self.sign(",") {
                order.push(self.order()?);
            }
        }
        let limit = if self.takes("LIMIT") { Some(self.count()?) } else { None };
        let offset = if self.takes("OFFSET") { self.count()? } else { 0 };
        Ok(Query { select, below, from, filter, order, limit, offset })
    }

    /// A query behind its opening bracket, up to the closing one.
    fn in_brackets(&mut self) -> Result<Query, Failure> {
        if self.inside {
            return Err(self.unexpected());
        }
        self.inside = true;
        let query = self.whole()?;
        self.inside = false;
        self.close()?;
        if query.select == Select::Count {
            return Err(malformed(self.query, self.at, "a nested query lists columns"));
        }
        Ok(query)
    }

    fn peek(&self) -> Option<&What> {
        self.tokens.get(self.at).map(|token| &token.what)
    }

    fn is(&self, word: &str) -> bool {
        matches!(self.peek(), Some(What::Word(found)) if found.eq_ignore_ascii_case(word))
    }

    fn takes(&mut self, word: &str) -> bool {
        let found = self.is(word);
        self.at += usize::from(found);
        found
    }

    fn keyword(&mut self, word: &str) -> Result<(), Failure> {
        if self.takes(word) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(What::Sign(found)) if *found == sign);
        self.at += usize::from(found);
        found
    }

    fn close(&mut self) -> Result<(), Failure> {
        if self.sign(")") { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> Failure {
        let place = self.tokens.get(self.at).map_or(self.query.len(), |token| token.at);
        let token = match self.peek() {
            Some(What::Word(word) | What::Text(word)) => word.clone(),
            Some(What::Sign(sign)) => (*sign).to_owned(),
            None => "<EOF>".to_owned(),
        };
        malformed(self.query, place, &format!("unexpected token: '{token}'"))
    }

    fn name(&mut self) -> Result<String, Failure> {
        match self.peek() {
            Some(What::Word(word))
                if word.starts_with(|first: char| first.is_ascii_alphabetic())
                    && !CLAUSES.iter().any(|clause| clause.eq_ignore_ascii_case(word))
                    && word
                        .chars()
                        .all(|all| all.is_ascii_alphanumeric() || "_.".contains(all)) =>
            {
                let name = word.clone();
                self.at += 1;
                Ok(name)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn path(&mut self) -> Result<Path, Failure> {
        let name = self.name()?;
        let path: Path = name.split('.').map(str::to_owned).collect();
        if path.iter().any(String::is_empty) || path.len() > 6 {
            self.at -= 1;
            return Err(self.unexpected());
        }
        Ok(path)
    }

    fn select(&mut self) -> Result<(Select, Vec<Query>), Failure> {
        let (mut columns, mut below) = (Vec::new(), Vec::new());
        loop {
            if self.sign("(") {
                below.push(self.in_brackets()?);
                if !self.sign(",") {
                    return Ok((Select::Columns(columns), below));
                }
                continue;
            }
            let function = self.is("COUNT") || self.is("FIELDS");
            let path = self.path()?;
            if self.sign("(") {
                if !function || !columns.is_empty() || !below.is_empty() {
                    return Err(self.unexpected());
                }
                if path[0].eq_ignore_ascii_case("COUNT") {
                    self.close()?;
                    return Ok((Select::Count, below));
                }
                let group = self.name()?.to_uppercase();
                self.close()?;
                return Ok((Select::Fields(group), below));
            }
            columns.push(path);
            if !self.sign(",") {
                return Ok((Select::Columns(columns), below));
            }
        }
    }

    fn order(&mut self) -> Result<Order, Failure> {
        let path = self.path()?;
        let descending = self.takes("DESC");
        if !descending {
            self.takes("ASC");
        }
        let mut nulls_last = false;
        if self.takes("NULLS") {
            nulls_last = self.takes("LAST");
            if !nulls_last {
                self.keyword("FIRST")?;
            }
        }
        Ok(Order { path, descending, nulls_last })
    }

    fn count(&mut self) -> Result<usize, Failure> {
        let count = match self.peek() {
            Some(What::Word(word)) => word.parse().ok(),
            _ => None,
        };
        let count = count.ok_or_else(|| self.unexpected())?;
        self.at += 1;
        Ok(count)
    }

    /// One level: all `AND` or all `OR`; mixing them needs parentheses.
    fn condition(&mut self) -> Result<Condition, Failure> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err(malformed(self.query, self.query.len(), "query is nested too deeply"));
        }
        let mut parts = vec![self.term()?];
        let word = if self.is("OR") { "OR" } else { "AND" };
        while self.takes(word) {
            parts.push(self.term()?);
        }
        if self.is("AND") || self.is("OR") {
            return Err(self.unexpected());
        }
        self.depth -= 1;
        Ok(match (parts.len(), word) {
            (1, _) => parts.remove(0),
            (_, "OR") => Condition::Any(parts),
            _ => Condition::All(parts),
        })
    }

    fn term(&mut self) -> Result<Condition, Failure> {
        if self.takes("NOT") {
            self.depth += 1;
            if self.depth > DEEPEST {
                return Err(self.unexpected());
            }
            let inner = self.term()?;
            self.depth -= 1;
            return Ok(Condition::Not(Box::new(inner)));
        }
        if self.sign("(") {
            let inner = self.condition()?;
            self.close()?;
            return Ok(inner);
        }
        let path = self.path()?;
        if self.takes("NOT") {
            self.keyword("IN")?;
            return self.among(path, false);
        }
        if self.takes("IN") {
            return self.among(path, true);
        }
        let operator = self.operator()?;
        Ok(Condition::Compare(path, operator, self.literal()?))
    }

    fn operator(&mut self) -> Result<Operator, Failure> {
        let operator = match self.peek() {
            Some(What::Sign("=")) => Operator::Equal,
            Some(What::Sign("!=")) => Operator::NotEqual,
            Some(What::Sign("<")) => Operator::Less,
            Some(What::Sign("<=")) => Operator::LessOrEqual,
            Some(What::Sign(">")) => Operator::Greater,
            Some(What::Sign(">=")) => Operator::GreaterOrEqual,
            Some(What::Word(word)) if word.eq_ignore_ascii_case("LIKE") => Operator::Like,
            _ => return Err(self.unexpected()),
        };
        self.at += 1;
        Ok(operator)
    }

    /// What follows `IN`: values, or a query of them.
    fn among(&mut self, path: Path, inside: bool) -> Result<Condition, Failure> {
        if !self.sign("(") {
            return Err(self.unexpected());
        }
        if self.is("SELECT") {
            return Ok(Condition::InRows(path, inside, Box::new(self.in_brackets()?)));
        }
        Ok(Condition::In(path, inside, self.list()?))
    }

    fn list(&mut self) -> Result<Vec<Literal>, Failure> {
        let mut values = vec![self.literal()?];
        while self.sign(",") {
            values.push(self.literal()?);
        }
        self.close()?;
        Ok(values)
    }

    fn literal(&mut self) -> Result<Literal, Failure> {
        let literal = match self.peek() {
            Some(What::Text(text)) => Some(Literal::Text(text.clone())),
            Some(What::Word(word)) => literal::read(word),
            _ => None,
        };
        let literal = literal.ok_or_else(|| self.unexpected())?;
        self.at += 1;
        Ok(literal)
    }
}
