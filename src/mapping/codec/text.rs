//! Text: cutting at whole words, one line.

/// Cuts `text` to at most `length` characters, at the end of a word where there is one, and marks
/// the cut with `...`.
pub(crate) fn cut(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    if length <= 3 {
        return text.chars().take(length).collect();
    }
    let kept: String = text.chars().take(length - 3).collect();
    let next = text.chars().nth(length - 3);
    let inside_word = next.is_some_and(|letter| !letter.is_whitespace());
    let kept = match kept.rfind(char::is_whitespace) {
        Some(at) if inside_word && at > 0 => &kept[..at],
        _ => kept.as_str(),
    };
    format!("{}...", kept.trim_end())
}

/// Runs of white space, line breaks included, as one space.
pub(crate) fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
