//! Reads a Rust source file as far as its imports need: words, `::`, braces. Comments, strings and
//! character literals are gone; what `#[cfg(test)]` covers is marked.
//!
//! It is not a parser. It knows enough to follow `use a::{b, c::{d as e}}`, `super::`, names that a
//! `use` brought in, and paths written in the middle of an expression; what a macro invents at
//! compile time stays unseen.

use std::collections::BTreeMap;

/// A word or a piece of punctuation, with the line it stands on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Token {
    pub(crate) text: String,
    pub(crate) line: usize,
    /// Whether it is covered by `#[cfg(test)]`.
    pub(crate) is_test: bool,
}

/// A path as it is meant: `crate::store::Store`, `axum::Router`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Path {
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    pub(crate) is_test: bool,
}

/// The tokens of a source text.
pub(crate) fn tokens(source: &str) -> Vec<Token> {
    let mut found = Vec::new();
    let mut line = 1;
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        let length = piece(rest, first);
        let text = &rest[..length];
        let is_word = first.is_alphanumeric() || first == '_';
        let is_literal = matches!(first, '"' | '\'') || text.ends_with('"') || text.ends_with('#');
        let is_kept =
            (is_word && !is_literal) || text == "::" || "{}()[];,#!=<>.*&".contains(first);
        if is_kept && !text.starts_with("//") {
            found.push(Token { text: text.to_owned(), line, is_test: false });
        }
        line += text.matches('\n').count();
        rest = &rest[length..];
    }
    mark_tests(&mut found);
    found
}

/// The length of the piece that `text` begins with.
fn piece(text: &str, first: char) -> usize {
    let to = |end: &str| text.find(end).map_or(text.len(), |at| at + end.len());
    if text.starts_with("//") {
        return text.find('\n').unwrap_or(text.len());
    }
    if text.starts_with("/*") {
        return to("*/");
    }
    if text.starts_with("::") {
        return 2;
    }
    if let Some(length) = raw_string(text) {
        return length;
    }
    match first {
        '"' => quoted(text, 1),
        'b' if text.starts_with("b\"") => quoted(text, 2),
        '\'' => character(text),
        _ if first.is_alphanumeric() || first == '_' => {
            text.find(|one: char| !one.is_alphanumeric() && one != '_').unwrap_or(text.len())
        }
        _ => first.len_utf8(),
    }
}

/// The length of `r"…"`, `br#"…"#` and their like.
fn raw_string(text: &str) -> Option<usize> {
    let body = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let hashes = body.len() - body.trim_start_matches('#').len();
    let inner = body[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    let at = inner.find(&end).map_or(inner.len(), |at| at + end.len());
    Some(text.len() - inner.len() + at)
}

/// The length of a string whose text begins at `from`.
fn quoted(text: &str, from: usize) -> usize {
    let mut escaped = false;
    for (at, one) in text[from..].char_indices() {
        match one {
            '"' if !escaped => return from + at + 1,
            _ => escaped = one == '\\' && !escaped,
        }
    }
    text.len()
}

/// The length of a character literal, or of the quote of a lifetime.
fn character(text: &str) -> usize {
    let mut rest = text[1..].chars();
    match (rest.next(), rest.next()) {
        (Some('\\'), Some(_)) => text[3..].find('\'').map_or(text.len(), |at| at + 4),
        (Some(one), Some('\'')) => 2 + one.len_utf8(),
        _ => 1,
    }
}

/// Marks what follows `#[cfg(test)]` up to the end of the item.
fn mark_tests(tokens: &mut [Token]) {
    let attribute = ["#", "[", "cfg", "(", "test", ")", "]"];
    let mut at = 0;
    while at < tokens.len() {
        let here = tokens[at..].iter().map(|token| token.text.as_str());
        if !here.take(attribute.len()).eq(attribute) {
            at += 1;
            continue;
        }
        let mut depth = 0_usize;
        while at < tokens.len() {
            tokens[at].is_test = true;
            match tokens[at].text.as_str() {
                "{" => depth += 1,
                "}" => depth = depth.saturating_sub(1),
                _ => {}
            }
            let ends = depth == 0 && matches!(tokens[at].text.as_str(), ";" | "}");
            at += 1;
            if ends {
                break;
            }
        }
    }
}

/// Every path that `tokens` name, resolved in the module `module` (`["crate", "sync"]`).
pub(crate) fn paths(tokens: &[Token], module: &[String]) -> Vec<Path> {
    let mut scan = Scan { tokens, module: module.to_vec(), inner: Vec::new(), depth: 0 };
    let written = scan.all();
    let mut brought = BTreeMap::new();
    for one in written.iter().filter(|one| one.alias.is_some()) {
        brought.insert(one.alias.clone().unwrap_or_default(), one.path.segments.clone());
    }
    let mut found = Vec::new();
    for one in written {
        let mut path = one.path;
        let known = brought.get(&path.segments[0]).filter(|_| one.alias.is_none());
        if let Some(full) = known {
            path.segments.splice(..1, full.iter().cloned());
        }
        found.push(path);
    }
    found
}

/// A path with the name that it gets, where it is written in a `use`.
struct Written {
    path: Path,
    alias: Option<String>,
}

struct Scan<'a> {
    tokens: &'a [Token],
    module: Vec<String>,
    /// The modules written inside the file that are open, with the depth of their brace.
    inner: Vec<(String, usize)>,
    depth: usize,
}

impl Scan<'_> {
    fn text(&self, at: usize) -> &str {
        self.tokens.get(at).map_or("", |token| &token.text)
    }

    fn all(&mut self) -> Vec<Written> {
        let mut found = Vec::new();
        let mut at = 0;
        while at < self.tokens.len() {
            match self.text(at) {
                "{" => self.depth += 1,
                "}" => {
                    self.depth = self.depth.saturating_sub(1);
                    self.inner.retain(|(_, depth)| *depth < self.depth + 1);
                }
                "mod" if self.text(at + 2) == "{" => {
                    self.inner.push((self.text(at + 1).to_owned(), self.depth + 1));
                }
                "use" => {
                    at = self.tree(at + 1, Vec::new(), &mut found);
                    continue;
                }
                word if is_word(word) && self.starts_path(at) => {
                    at = self.expression(at, &mut found);
                    continue;
                }
                _ => {}
            }
            at += 1;
        }
        found
    }

    fn starts_path(&self, at: usize) -> bool {
        let before = if at == 0 { "" } else { self.text(at - 1) };
        before != "::" && before != "." && self.text(at + 1) == "::"
    }

    /// Reads `a::b::c` in an expression or a type; the place after it.
    fn expression(&self, from: usize, found: &mut Vec<Written>) -> usize {
        let mut segments = vec![self.text(from).to_owned()];
        let mut at = from + 1;
        while self.text(at) == "::" && is_word(self.text(at + 1)) {
            segments.push(self.text(at + 1).to_owned());
            at += 2;
        }
        found.push(Written { path: self.path(segments, from), alias: None });
        at
    }

    /// Reads one tree of a `use` below `prefix`; the place after it.
    fn tree(&self, from: usize, prefix: Vec<String>, found: &mut Vec<Written>) -> usize {
        let mut segments = prefix;
        let mut at = from;
        while self.text(at) == "::" || is_word(self.text(at)) || self.text(at) == "*" {
            match self.text(at) {
                "::" => {}
                "as" => {
                    let alias = Some(self.text(at + 1).to_owned());
                    found.push(Written { path: self.path(segments, from), alias });
                    return at + 2;
                }
                word => segments.push(word.to_owned()),
            }
            at += 1;
        }
        if self.text(at) != "{" {
            let alias = match segments.last().map(String::as_str) {
                Some("self") => segments.iter().rev().nth(1).cloned(),
                last => last.map(str::to_owned),
            };
            if !segments.is_empty() {
                found.push(Written { path: self.path(segments, from), alias });
            }
            return at;
        }
        at += 1;
        while !matches!(self.text(at), "}" | "") {
            at = if self.text(at) == "," { at + 1 } else { self.tree(at, segments.clone(), found) };
        }
        at + 1
    }

    /// The path with `self` and `super` at its head resolved.
    fn path(&self, written: Vec<String>, at: usize) -> Path {
        let mut base = self.module.clone();
        base.extend(self.inner.iter().map(|(name, _)| name.clone()));
        let mut rest = written.into_iter().peekable();
        let is_relative = rest.peek().is_some_and(|first| first == "self" || first == "super");
        while let Some(word) = rest.next_if(|word| word == "self" || word == "super") {
            if word == "super" {
                base.pop();
            }
        }
        let mut segments = if is_relative { base } else { Vec::new() };
        segments.extend(rest);
        let token = &self.tokens[at];
        Path { segments, line: token.line, is_test: token.is_test }
    }
}

fn is_word(text: &str) -> bool {
    text.starts_with(|first: char| first.is_alphabetic() || first == '_')
}
