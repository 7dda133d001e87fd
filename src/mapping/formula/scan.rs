//! Finds the names a formula uses, so that an unknown one is reported before the formula runs.

/// A name in a formula, by what it is used as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    /// After `|`.
    Filter(String),
    /// After `is`.
    Test(String),
    /// Before `(`.
    Function(String),
    /// Anything else that is not a member after a dot.
    Variable(String),
}

/// Words of the language itself.
const WORDS: [&str; 13] = [
    "and", "or", "not", "in", "is", "if", "else", "true", "false", "none", "True", "False", "None",
];

/// Every name in `text` outside quotes.
pub(crate) fn names(text: &str) -> Vec<Name> {
    let letters: Vec<char> = text.chars().collect();
    let mut found = Vec::new();
    let mut before = Before::Nothing;
    let mut at = 0;
    while at < letters.len() {
        let letter = letters[at];
        if letter == '"' || letter == '\'' {
            at = after_quote(&letters, at);
            before = Before::Nothing;
        } else if letter.is_alphabetic() || letter == '_' {
            let start = at;
            while at < letters.len() && (letters[at].is_alphanumeric() || letters[at] == '_') {
                at += 1;
            }
            let word: String = letters[start..at].iter().collect();
            let next = letters[at..].iter().find(|letter| !letter.is_whitespace());
            before = classify(word, before, next == Some(&'('), &mut found);
        } else {
            before = Before::after(letter, before);
            at += 1;
            if letter.is_ascii_digit() {
                at = after_number(&letters, at);
            }
        }
    }
    found
}

/// How large a formula is: its names, values and operators, and how deep its brackets nest.
pub(crate) fn size(text: &str) -> (usize, usize) {
    let letters: Vec<char> = text.chars().collect();
    let (mut parts, mut depth, mut deepest) = (0, 0_usize, 0);
    let mut at = 0;
    while at < letters.len() {
        let letter = letters[at];
        at = match letter {
            '"' | '\'' => after_quote(&letters, at),
            letter if letter.is_alphanumeric() || letter == '_' => after_number(&letters, at + 1),
            _ => at + 1,
        };
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            '.' | ',' => {}
            letter if letter.is_whitespace() => {}
            _ => parts += 1,
        }
        deepest = deepest.max(depth);
    }
    (parts, deepest)
}

/// What stood before a name.
#[derive(Clone, Copy, PartialEq)]
enum Before {
    Nothing,
    Pipe,
    Is,
    Dot,
}

impl Before {
    fn after(letter: char, before: Self) -> Self {
        match letter {
            '|' => Self::Pipe,
            '.' => Self::Dot,
            letter if letter.is_whitespace() => before,
            _ => Self::Nothing,
        }
    }
}

fn classify(word: String, before: Before, called: bool, found: &mut Vec<Name>) -> Before {
    if before == Before::Is && word == "not" {
        return Before::Is;
    }
    match before {
        Before::Pipe => found.push(Name::Filter(word)),
        Before::Is => found.push(Name::Test(word)),
        Before::Dot if called => found.push(Name::Function(word)),
        Before::Dot => {}
        Before::Nothing if word == "is" => return Before::Is,
        Before::Nothing if WORDS.contains(&word.as_str()) => {}
        Before::Nothing if called => found.push(Name::Function(word)),
        Before::Nothing => found.push(Name::Variable(word)),
    }
    Before::Nothing
}

/// The position after the quoted text that begins at `at`.
fn after_quote(letters: &[char], at: usize) -> usize {
    let quote = letters[at];
    let mut next = at + 1;
    while next < letters.len() && letters[next] != quote {
        next += if letters[next] == '\\' { 2 } else { 1 };
    }
    next + 1
}

/// The position after the rest of a number such as `1e308` or `0x1f`.
fn after_number(letters: &[char], at: usize) -> usize {
    let mut next = at;
    while next < letters.len() && (letters[next].is_alphanumeric() || letters[next] == '_') {
        next += 1;
    }
    next
}
