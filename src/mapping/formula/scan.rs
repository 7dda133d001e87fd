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

/// Whether a list that is written out is multiplied, as it is or within brackets. The template
/// language computes what is constant while it compiles, and counts no steps there: a list of many
/// items would be made and compared before any limit could hold.
pub(crate) fn multiplies_a_list(text: &str) -> bool {
    let shape = shape(text);
    let star = |at: usize| shape[at] == '*';
    (0..shape.len()).filter(|at| star(*at)).any(|at| {
        let after = (at + 1..shape.len()).find(|next| !matches!(shape[*next], '-' | '+' | WORD));
        let right = after.is_some_and(|next| match shape[next] {
            '[' => true,
            '(' => holds_a_list(&shape, next, closing(&shape, next)),
            _ => false,
        });
        right || at.checked_sub(1).is_some_and(|last| ends_with_a_list(&shape, last))
    })
}

/// How [`shape`] writes a word of the language, a name, and a value.
const WORD: char = 'w';
const NAME: char = 'n';
const VALUE: char = 'v';

/// A formula with one letter for each word, name and value, and without its spaces.
fn shape(text: &str) -> Vec<char> {
    let letters: Vec<char> = text.chars().collect();
    let mut shape = Vec::new();
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
            '"' | '\'' => shape.push(VALUE),
            letter if letter.is_numeric() => shape.push(VALUE),
            _ if WORDS.contains(&part.as_str()) => shape.push(WORD),
            letter if letter.is_alphabetic() || letter == '_' => shape.push(NAME),
            letter => shape.push(letter),
        }
        at = end;
    }
    shape
}

/// Whether the operand that ends at `last` is a list that is written out, or brackets around one.
fn ends_with_a_list(shape: &[char], last: usize) -> bool {
    let Some(first) = opening(shape, last) else { return false };
    match shape[first] {
        '[' if begins_a_value(shape, first) => true,
        '[' => ends_with_a_list(shape, first - 1),
        '(' if begins_a_value(shape, first) => holds_a_list(shape, first, last),
        _ => false,
    }
}

/// Whether a list is written out between two places.
fn holds_a_list(shape: &[char], first: usize, last: usize) -> bool {
    (first..=last).any(|at| shape[at] == '[' && begins_a_value(shape, at))
}

/// Whether a bracket begins a list or a group, rather than asking something for an item or calling
/// it.
fn begins_a_value(shape: &[char], bracket: usize) -> bool {
    let before = bracket.checked_sub(1).map(|before| shape[before]);
    !matches!(before, Some(NAME | VALUE | ')' | ']' | '}'))
}

/// Where the bracket that ends at `last` begins; `None` if none ends there.
fn opening(shape: &[char], last: usize) -> Option<usize> {
    let mut depth = 0_usize;
    for at in (0..=last).rev() {
        match shape[at] {
            ')' | ']' | '}' => depth += 1,
            '(' | '[' | '{' => depth = depth.checked_sub(1)?,
            _ => {}
        }
        if depth == 0 {
            return (at < last).then_some(at);
        }
    }
    None
}

/// Where the bracket that begins at `first` ends, or the formula.
fn closing(shape: &[char], first: usize) -> usize {
    let mut depth = 0_usize;
    for (at, letter) in shape.iter().enumerate().skip(first) {
        match letter {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if depth == 0 {
            return at;
        }
    }
    shape.len() - 1
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
