//! `$filter`: a parser for the subset of OData that the platform accepts.

use serde_json::Value as Json;

use crate::connect::dynamics365::sandbox::problem::Problem;

/// A condition.
#[derive(Debug, Clone, PartialEq)]
pub(in super::super) enum Condition {
    And(Box<Condition>, Box<Condition>),
    Or(Box<Condition>, Box<Condition>),
    Not(Box<Condition>),
    /// `path operator literal`, or the two the other way round.
    Compare(Vec<String>, Operator, Json),
    /// `contains(path,'text')` and its like.
    Text(TextTest, Vec<String>, String),
    /// A boolean property by itself.
    Is(Vec<String>),
}

/// How two values are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Operator {
    Equal,
    NotEqual,
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// Which text function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum TextTest {
    Contains,
    StartsWith,
    EndsWith,
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Open,
    Close,
    Comma,
    Text(String),
    Word(String),
}

/// Reads a filter.
pub(in super::super) fn parse(text: &str) -> Result<Condition, Problem> {
    let mut parser = Parser { tokens: tokens(text)?, at: 0, text };
    let condition = parser.or()?;
    if parser.at == parser.tokens.len() { Ok(condition) } else { Err(parser.wrong()) }
}

fn tokens(text: &str) -> Result<Vec<Token>, Problem> {
    let mut tokens = Vec::new();
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '(' => tokens.push(Token::Open),
            ')' => tokens.push(Token::Close),
            ',' => tokens.push(Token::Comma),
            ' ' | '\t' => {}
            '\'' => tokens.push(Token::Text(quoted(&mut characters, text)?)),
            first => {
                let mut word = String::from(first);
                while let Some(next) = characters.peek() {
                    if matches!(next, '(' | ')' | ',' | ' ' | '\'') {
                        break;
                    }
                    word.push(*next);
                    characters.next();
                }
                // `Microsoft.Dynamics.CRM.X'Value'` is an enumeration value: its name counts.
                if characters.peek() == Some(&'\'') {
                    characters.next();
                    tokens.push(Token::Text(quoted(&mut characters, text)?));
                } else {
                    tokens.push(Token::Word(word));
                }
            }
        }
    }
    Ok(tokens)
}

fn quoted(
    characters: &mut std::iter::Peekable<std::str::Chars<'_>>,
    whole: &str,
) -> Result<String, Problem> {
    let mut inside = String::new();
    while let Some(character) = characters.next() {
        if character != '\'' {
            inside.push(character);
        } else if characters.peek() == Some(&'\'') {
            characters.next();
            inside.push('\'');
        } else {
            return Ok(inside);
        }
    }
    Err(Problem::query(format!("There is an unterminated string literal in '{whole}'.")))
}

struct Parser<'a> {
    tokens: Vec<Token>,
    at: usize,
    text: &'a str,
}

impl Parser<'_> {
    fn wrong(&self) -> Problem {
        let at = self.at;
        Problem::query(format!("Syntax error at token {at} in '{}'.", self.text))
    }

    fn word(&self) -> Option<&str> {
        match self.tokens.get(self.at) {
            Some(Token::Word(word)) => Some(word),
            _ => None,
        }
    }

    fn take_word(&mut self, wanted: &str) -> bool {
        let found = self.word() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    fn take(&mut self, wanted: &Token) -> Result<(), Problem> {
        if self.tokens.get(self.at) != Some(wanted) {
            return Err(self.wrong());
        }
        self.at += 1;
        Ok(())
    }

    fn or(&mut self) -> Result<Condition, Problem> {
        let mut left = self.and()?;
        while self.take_word("or") {
            left = Condition::Or(Box::new(left), Box::new(self.and()?));
        }
        Ok(left)
    }

    fn and(&mut self) -> Result<Condition, Problem> {
        let mut left = self.unary()?;
        while self.take_word("and") {
            left = Condition::And(Box::new(left), Box::new(self.unary()?));
        }
        Ok(left)
    }

    fn unary(&mut self) -> Result<Condition, Problem> {
        if self.take_word("not") {
            return Ok(Condition::Not(Box::new(self.unary()?)));
        }
        if self.tokens.get(self.at) == Some(&Token::Open) {
            self.at += 1;
            let inside = self.or()?;
            self.take(&Token::Close)?;
            return Ok(inside);
        }
        let test = match self.word() {
            Some("contains") => Some(TextTest::Contains),
            Some("startswith") => Some(TextTest::StartsWith),
            Some("endswith") => Some(TextTest::EndsWith),
            _ => None,
        };
        match test {
            Some(test) if self.tokens.get(self.at + 1) == Some(&Token::Open) => self.function(test),
            _ => self.comparison(),
        }
    }

    fn function(&mut self, test: TextTest) -> Result<Condition, Problem> {
        self.at += 2;
        let path = self.path()?;
        self.take(&Token::Comma)?;
        let Some(Token::Text(text)) = self.tokens.get(self.at).cloned() else {
            return Err(self.wrong());
        };
        self.at += 1;
        self.take(&Token::Close)?;
        Ok(Condition::Text(test, path, text))
    }

    fn path(&mut self) -> Result<Vec<String>, Problem> {
        let path = self.word().ok_or_else(|| self.wrong())?;
        let path = path.split('/').map(str::to_owned).collect();
        self.at += 1;
        Ok(path)
    }

    fn comparison(&mut self) -> Result<Condition, Problem> {
        let left = self.operand()?;
        let Some(operator) = self.operator() else {
            return match left {
                Operand::Path(path) => Ok(Condition::Is(path)),
                Operand::Literal(_) => Err(self.wrong()),
            };
        };
        match (left, self.operand()?) {
            (Operand::Path(path), Operand::Literal(value)) => {
                Ok(Condition::Compare(path, operator, value))
            }
            (Operand::Literal(value), Operand::Path(path)) => {
                Ok(Condition::Compare(path, operator.turned(), value))
            }
            _ => Err(Problem::query("A comparison needs a property and a literal.")),
        }
    }

    fn operator(&mut self) -> Option<Operator> {
        let operator = match self.word()? {
            "eq" => Operator::Equal,
            "ne" => Operator::NotEqual,
            "gt" => Operator::Greater,
            "ge" => Operator::GreaterOrEqual,
            "lt" => Operator::Less,
            "le" => Operator::LessOrEqual,
            _ => return None,
        };
        self.at += 1;
        Some(operator)
    }

    fn operand(&mut self) -> Result<Operand, Problem> {
        let token = self.tokens.get(self.at).cloned().ok_or_else(|| self.wrong())?;
        self.at += 1;
        match token {
            Token::Text(text) => Ok(Operand::Literal(Json::from(text))),
            Token::Word(word) => Ok(literal(&word).map_or_else(
                || Operand::Path(word.split('/').map(str::to_owned).collect()),
                Operand::Literal,
            )),
            _ => {
                self.at -= 1;
                Err(self.wrong())
            }
        }
    }
}

enum Operand {
    Path(Vec<String>),
    Literal(Json),
}

fn literal(word: &str) -> Option<Json> {
    match word {
        "null" => return Some(Json::Null),
        "true" => return Some(Json::Bool(true)),
        "false" => return Some(Json::Bool(false)),
        _ => {}
    }
    if let Ok(id) = uuid::Uuid::parse_str(word) {
        return Some(Json::from(id.to_string()));
    }
    let first = word.chars().next()?;
    if !first.is_ascii_digit() && first != '-' {
        return None;
    }
    let number = serde_json::from_str::<Json>(word).ok().filter(Json::is_number);
    // What begins with a digit and is no number is a date.
    Some(number.unwrap_or_else(|| Json::from(word)))
}

impl Operator {
    fn turned(self) -> Self {
        match self {
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            same => same,
        }
    }
}
