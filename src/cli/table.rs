//! Tables that fit 80 columns: the last column is wrapped, never cut.

use std::io::{self, Write};

/// Columns of a terminal that everything must fit in.
const WIDTH: usize = 80;
/// The last column is never narrower.
const NARROWEST: usize = 24;

/// Prints rows under a head, or nothing if there are none.
pub(super) fn print(out: &mut dyn Write, head: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let columns = head.len();
    let width = |at: usize| {
        let cells = rows.iter().filter_map(|row| row.get(at)).map(|cell| cell.chars().count());
        cells.chain(std::iter::once(head[at].chars().count())).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns.saturating_sub(1)).map(width).collect();
    let indent: usize = widths.iter().map(|width| width + 2).sum();
    let last = WIDTH.saturating_sub(indent).max(NARROWEST);
    let head: Vec<String> = head.iter().map(|&cell| cell.to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width + 2 - cell.chars().count().min(*width)));
        }
        let mut lines = wrapped(row.last().map_or("", String::as_str), last).into_iter();
        writeln!(out, "{}", format!("{line}{}", lines.next().unwrap_or_default()).trim_end())?;
        for more in lines {
            writeln!(out, "{}{more}", " ".repeat(indent))?;
        }
    }
    Ok(())
}

/// Prints a paragraph, its later lines indented.
pub(super) fn paragraph(out: &mut dyn Write, first: &str, text: &str) -> io::Result<()> {
    let indent = first.chars().count();
    for (at, line) in wrapped(text, WIDTH - indent).into_iter().enumerate() {
        let start = if at == 0 { first.to_owned() } else { " ".repeat(indent) };
        writeln!(out, "{start}{line}")?;
    }
    Ok(())
}

/// Lines of at most `width` characters, broken at spaces; a longer word is broken where it must.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            let mut word: Vec<char> = word.chars().collect();
            let used = line.chars().count();
            if used > 0 && used + 1 + word.len() > width {
                lines.push(std::mem::take(&mut line));
            }
            while word.len() > width {
                let rest = word.split_off(width);
                lines.push(word.into_iter().collect());
                word = rest;
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.extend(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::{print, wrapped};

    #[test]
    fn nothing_is_wider_than_asked_and_nothing_is_lost() {
        let table = [
            ("short", 10, vec!["short"], "fits"),
            ("two words here", 9, vec!["two words", "here"], "broken at a space"),
            ("abcdefghij", 4, vec!["abcd", "efgh", "ij"], "a long word"),
            ("see abcdefgh", 4, vec!["see", "abcd", "efgh"], "a long word after a short one"),
        ];
        for (text, width, expected, why) in table {
            assert_eq!(wrapped(text, width), expected, "{why}");
        }
    }

    #[test]
    fn a_table_aligns() {
        let mut out = Vec::new();
        let rows = [vec!["1".to_owned(), "one".to_owned()], vec!["22".to_owned(), "x ".repeat(50)]];
        print(&mut out, &["ID", "WHAT"], &rows).expect("written");
        let text = String::from_utf8(out).expect("text");
        assert!(text.starts_with("ID  WHAT\n1   one\n22  x x"), "{text}");
        assert!(text.lines().all(|line| line.chars().count() <= 80), "{text}");
    }
}
