//! Cuts a query into tokens.

use crate::connect::salesforce::sandbox::failure::Failure;

/// One token and where it begins (byte).
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Token {
    pub(crate) what: What,
    pub(crate) at: usize,
}

/// Kinds of token.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    /// A keyword, name, number, date or relative date.
    Word(String),
    /// A string; the escapes `\%` and `\_` keep their backslash for `LIKE`.
    Text(String),
    /// One of `( ) , = != < <= > >=`.
    Sign(&'static str),
}

const SIGNS: [&str; 10] = ["!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ","];

/// All tokens of `query`.
///
/// # Errors
///
/// `MALFORMED_QUERY` for an open string or a character that no token begins with.
pub(crate) fn tokens(query: &str) -> Result<Vec<Token>, Failure> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(rest) = query.get(at..).filter(|rest| !rest.is_empty()) {
        let first = rest.chars().next().unwrap_or(' ');
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let (what, length) = if first == '\'' {
            string(query, at)?
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            (What::Sign(if sign == "<>" { "!=" } else { sign }), sign.len())
        } else {
            let length = rest.find(|character| !of_word(character)).unwrap_or(rest.len());
            if length == 0 {
                return Err(malformed(query, at, &format!("unexpected token: '{first}'")));
            }
            (What::Word(rest[..length].to_owned()), length)
        };
        tokens.push(Token { what, at });
        at += length;
    }
    Ok(tokens)
}

fn of_word(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, '_' | '.' | ':' | '-' | '+')
}

fn string(query: &str, at: usize) -> Result<(What, usize), Failure> {
    let mut text = String::new();
    let mut characters = query[at + 1..].char_indices();
    while let Some((offset, character)) = characters.next() {
        match character {
            '\'' => return Ok((What::Text(text), offset + 2)),
            '\\' => match characters.next().map(|(_, escaped)| escaped) {
                Some('n' | 'N') => text.push('\n'),
                Some('r' | 'R') => text.push('\r'),
                Some('t' | 'T') => text.push('\t'),
                Some('b' | 'B') => text.push('\u{8}'),
                Some('f' | 'F') => text.push('\u{c}'),
                Some(same @ ('\'' | '"')) => text.push(same),
                // Kept with its backslash, so that a pattern can tell it from a wildcard.
                Some(pattern @ ('%' | '_' | '\\')) => text.extend(['\\', pattern]),
                _ => return Err(malformed(query, at + 1 + offset, "Invalid string literal")),
            },
            other => text.push(other),
        }
    }
    Err(malformed(query, at, "line 1:1 mismatched character '<EOF>' expecting '''"))
}

/// `text` without the backslashes that only a pattern needs.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        plain.push(if character == '\\' { characters.next().unwrap_or('\\') } else { character });
    }
    plain
}

/// `MALFORMED_QUERY` with the place marked by a caret.
pub(crate) fn malformed(query: &str, at: usize, problem: &str) -> Failure {
    let from = floor(query, at.saturating_sub(20));
    let to = floor(query, (at + 20).min(query.len()));
    let excerpt = query.get(from..to).unwrap_or_default();
    let caret = " ".repeat(at.saturating_sub(from));
    let column = at + 1;
    Failure::new(
        "MALFORMED_QUERY",
        format!("\n{excerpt}\n{caret}^\nERROR at Row:1:Column:{column}\n{problem}"),
    )
}

fn floor(text: &str, mut at: usize) -> usize {
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
}
