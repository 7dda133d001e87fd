//! Words and literals of a `$filter`.

/// A piece of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    Open,
    Close,
    Slash,
    Colon,
    /// A name, a keyword or an unquoted literal.
    Word(String),
    /// A quoted literal, without its quotes.
    Text(String),
}

/// A value in a filter.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    /// An unquoted instant or GUID.
    Bare(String),
}

impl Literal {
    pub(super) fn of_word(word: &str) -> Result<Self, String> {
        match word {
            "null" => return Ok(Self::Null),
            "true" => return Ok(Self::Bool(true)),
            "false" => return Ok(Self::Bool(false)),
            _ => {}
        }
        let bare = uuid::Uuid::try_parse(word).is_ok() || super::filter::instant(word).is_some();
        match word.parse::<f64>() {
            _ if bare => Ok(Self::Bare(word.to_owned())),
            Ok(number) if number.is_finite() => Ok(Self::Number(number)),
            _ => Err(format!("'{word}' is not a literal; text needs quotes.")),
        }
    }
}

/// A filter with more pieces is refused, so that a hostile one cannot exhaust the stack.
const MOST: usize = 1000;

/// Cuts a filter into its pieces.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if tokens.len() >= MOST {
            return Err("The filter is too long.".to_owned());
        }
        match letter {
            ' ' | '\t' => {}
            '(' => tokens.push(Token::Open),
            ')' => tokens.push(Token::Close),
            '/' => tokens.push(Token::Slash),
            // A colon within an instant is part of a word and never starts one.
            ':' => tokens.push(Token::Colon),
            '\'' => tokens.push(Token::Text(quoted(&mut letters)?)),
            first => {
                let mut word = first.to_string();
                let dated = first.is_ascii_digit();
                while let Some(next) = letters.next_if(|next| {
                    next.is_alphanumeric()
                        || matches!(next, '_' | '-' | '.' | '+' | '@')
                        || (dated && *next == ':')
                }) {
                    word.push(next);
                }
                tokens.push(Token::Word(word));
            }
        }
    }
    Ok(tokens)
}

/// The rest of a quoted literal; a doubled quote is a quote.
fn quoted(letters: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Result<String, String> {
    let mut text = String::new();
    while let Some(letter) = letters.next() {
        if letter != '\'' {
            text.push(letter);
        } else if letters.next_if_eq(&'\'').is_some() {
            text.push('\'');
        } else {
            return Ok(text);
        }
    }
    Err("A quoted text has no end.".to_owned())
}
