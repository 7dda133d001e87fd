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

/// Whether `*` stands beside anything that is not surely a number: one that is written out, what a
/// filter for numbers made, or brackets around such. The template language multiplies texts and lists
/// too. It makes up to 100,000,000 letters or items of them, and counts no steps for it: neither
/// while it compiles, where it computes what is constant, nor where it compares such lists.
pub(crate) fn multiplies_more_than_numbers(text: &str) -> bool {
    let tokens = tokens(text);
    let is_star = |at: usize| tokens.get(at).is_some_and(|token| token.is('*'));
    let alone = |at: &usize| {
        let beside = at.checked_sub(1).is_some_and(is_star) || is_star(at + 1);
        is_star(*at) && !beside
    };
    (0..tokens.len()).filter(alone).any(|at| {
        let left = at.checked_sub(1).is_some_and(|last| ends_as_a_number(&tokens, last));
        let signs = tokens[at + 1..].iter().take_while(|token| token.is('-') || token.is('+'));
        let right = end_of_operand(&tokens, at + 1 + signs.count());
        !left || !right.is_some_and(|last| ends_as_a_number(&tokens, last))
    })
}

/// Filters that give a number, or fail.
const NUMBERS: [&str; 3] = ["int", "length", "number"];

/// A part of a formula.
#[derive(Debug, PartialEq)]
enum Token {
    /// A word of the language.
    Word,
    /// Any other name.
    Name(String),
    /// A number.
    Number,
    /// A quoted text.
    Text,
    /// A bracket, an operator, a dot.
    Sign(char),
}

impl Token {
    fn is(&self, sign: char) -> bool {
        *self == Self::Sign(sign)
    }

    fn opens(&self) -> bool {
        matches!(self, Self::Sign('(' | '[' | '{'))
    }

    fn closes(&self) -> bool {
        matches!(self, Self::Sign(')' | ']' | '}'))
    }
}

/// The parts of a formula, without its spaces.
fn tokens(text: &str) -> Vec<Token> {
    let letters: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < letters.len() {
        let letter = letters[at];
        let end = match letter {
            '"' | '\'' => after_quote(&letters, at),
            letter if letter.is_alphanumeric() || letter == '_' => after_number(&letters, at + 1),
            _ => at + 1,
        };
        let part: String = letters[at..end.min(letters.len())].iter().collect();
        match letter {
            letter if letter.is_whitespace() => {}
            '"' | '\'' => tokens.push(Token::Text),
            letter if letter.is_numeric() => tokens.push(Token::Number),
            _ if WORDS.contains(&part.as_str()) => tokens.push(Token::Word),
            letter if letter.is_alphabetic() || letter == '_' => tokens.push(Token::Name(part)),
            letter => tokens.push(Token::Sign(letter)),
        }
        at = end;
    }
    tokens
}

/// Whether the operand that ends at `last` is surely a number.
fn ends_as_a_number(tokens: &[Token], last: usize) -> bool {
    let is_dot = |at: usize| tokens[at].is('.');
    match &tokens[last] {
        // The digits of 1.5, but not the item of a path such as list.0.
        Token::Number => match last.checked_sub(2).filter(|_| is_dot(last - 1)) {
            Some(before) => {
                tokens[before] == Token::Number
                    && before.checked_sub(1).is_none_or(|at| !is_dot(at))
            }
            None => last == 0 || !is_dot(last - 1),
        },
        Token::Name(_) => is_number_filter(tokens, last),
        Token::Sign(')') => opening(tokens, last).is_some_and(|first| {
            if begins_a_value(tokens, first) {
                holds_only_numbers(&tokens[first + 1..last])
            } else {
                is_number_filter(tokens, first - 1)
            }
        }),
        _ => false,
    }
}

fn is_number_filter(tokens: &[Token], name: usize) -> bool {
    let after_pipe = name.checked_sub(1).is_some_and(|pipe| tokens[pipe].is('|'));
    after_pipe && matches!(&tokens[name], Token::Name(name) if NUMBERS.contains(&name.as_str()))
}

/// Whether every operand of some tokens is surely a number.
fn holds_only_numbers(tokens: &[Token]) -> bool {
    let mut at = 0;
    while at < tokens.len() {
        let begins = match &tokens[at] {
            Token::Word => false,
            // A comma makes a list of a bracket.
            Token::Sign(',') => return false,
            Token::Sign(_) => tokens[at].opens(),
            _ => true,
        };
        if begins {
            let Some(last) = end_of_operand(tokens, at) else { return false };
            if !ends_as_a_number(tokens, last) {
                return false;
            }
            at = last;
        }
        at += 1;
    }
    true
}

/// Where the operand that begins at `first` ends, with the members, items and filters behind it.
fn end_of_operand(tokens: &[Token], first: usize) -> Option<usize> {
    let mut last = if tokens.get(first)?.opens() { closing(tokens, first)? } else { first };
    loop {
        last = match tokens.get(last + 1) {
            Some(Token::Sign('.' | '|')) if last + 2 < tokens.len() => last + 2,
            Some(Token::Sign('(' | '[')) => closing(tokens, last + 1)?,
            _ => return Some(last),
        };
    }
}

/// Whether a bracket begins a list or a group, rather than asking something for an item or calling
/// it.
fn begins_a_value(tokens: &[Token], bracket: usize) -> bool {
    let before = bracket.checked_sub(1).map(|before| &tokens[before]);
    match before {
        Some(Token::Name(_) | Token::Number | Token::Text) => false,
        Some(token) => !token.closes(),
        None => true,
    }
}

/// Where the bracket that ends at `last` begins; `None` if none ends there.
fn opening(tokens: &[Token], last: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for at in (0..=last).rev() {
        depth += usize::from(tokens[at].closes());
        if tokens[at].opens() {
            depth = depth.checked_sub(1)?;
        }
        if depth == 0 {
            return (at < last).then_some(at);
        }
    }
    None
}

/// Where the bracket that begins at `first` ends; `None` if it does not.
fn closing(tokens: &[Token], first: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, token) in tokens.iter().enumerate().skip(first) {
        depth += usize::from(token.opens());
        if token.closes() {
            depth = depth.checked_sub(1)?;
        }
        if depth == 0 {
            return Some(at);
        }
    }
    None
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
