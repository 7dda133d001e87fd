//! Everything that is wrong with a mapping file, with the place and a way out.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use serde::Serialize;

/// The most problems that are reported one by one.
const MOST_PROBLEMS: usize = 200;

/// A file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path as it is shown to people.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// One thing that is wrong, for people and for programs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// File as shown to people.
    pub file: String,
    /// Line, from 1; 0 if the problem is the file as a whole.
    pub line: usize,
    /// Column in characters, from 1; 0 if the problem is the file as a whole.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to write instead, where that is known.
    pub suggestion: Option<String>,
    #[serde(skip)]
    rendered: String,
}

impl Problem {
    /// A problem of a file that could not be read at all.
    #[must_use]
    pub fn of_file(file: &str, message: impl Into<String>, suggestion: Option<String>) -> Self {
        let message = message.into();
        let help = suggestion.as_ref().map(|text| format!("\n  = help: {text}"));
        Self {
            file: file.to_owned(),
            line: 0,
            column: 0,
            rendered: format!("error: {message}\n --> {file}{}", help.unwrap_or_default()),
            message,
            suggestion,
        }
    }

    /// A problem at `place`.
    pub(crate) fn at(
        place: &Place,
        sources: &[Source],
        message: String,
        suggestion: Option<String>,
    ) -> Self {
        let Some(source) = sources.get(place.file) else {
            return Self::of_file("mapping", message, suggestion);
        };
        let (line, column) = line_and_column(&source.text, place.span.start);
        let rendered = render(source, &place.span, &message, suggestion.as_deref());
        Self { file: source.name.clone(), line, column, message, suggestion, rendered }
    }
}

/// As a compiler prints it: title, `file:line:column`, the line with a caret, help.
impl fmt::Display for Problem {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.rendered)
    }
}

/// Every problem of a set of mapping files, in the order of the files.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(transparent)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.0.iter().enumerate() {
            if at > 0 {
                formatter.write_str("\n\n")?;
            }
            write!(formatter, "{problem}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// A stretch of one of the files that make up a mapping.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Place {
    /// Index of the file: 0 is the mapping file itself, then the file it extends, and so on.
    pub(crate) file: usize,
    /// Bytes of its text.
    pub(crate) span: Range<usize>,
}

impl Place {
    /// `file:line`, for `why` and the preview.
    pub(crate) fn describe(&self, sources: &[Source]) -> String {
        sources.get(self.file).map_or_else(String::new, |source| {
            let (line, _) = line_and_column(&source.text, self.span.start);
            format!("{}:{line}", source.name)
        })
    }
}

/// The one of two places that is in the file itself rather than in one that it extends; the second of
/// two in one file.
pub(crate) fn nearer<'p>(earlier: &'p Place, later: &'p Place) -> &'p Place {
    if earlier.file < later.file { earlier } else { later }
}

/// A value with the place it was read from.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Spot<T> {
    /// The value.
    pub(crate) value: T,
    /// Where it stands.
    pub(crate) place: Place,
}

/// Collects problems while the files are read and checked.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    found: Vec<(Place, String, Option<String>)>,
}

impl Findings {
    /// Notes a problem.
    pub(crate) fn add(&mut self, place: &Place, message: impl Into<String>) {
        self.found.push((place.clone(), message.into(), None));
    }

    /// Notes a problem with a way out.
    pub(crate) fn add_with(
        &mut self,
        place: &Place,
        message: impl Into<String>,
        suggestion: impl Into<String>,
    ) {
        self.found.push((place.clone(), message.into(), Some(suggestion.into())));
    }

    /// Notes an unknown name, with the nearest known one.
    pub(crate) fn unknown<'n>(
        &mut self,
        place: &Place,
        message: impl Into<String>,
        name: &str,
        known: impl IntoIterator<Item = &'n str>,
    ) {
        let suggestion = nearest(name, known).map(|near| format!("did you mean `{near}`?"));
        self.found.push((place.clone(), message.into(), suggestion));
    }

    /// Adds those of `others` whose place is `wanted`.
    pub(crate) fn take(&mut self, others: Self, wanted: impl Fn(&Place) -> bool) {
        self.found.extend(others.found.into_iter().filter(|(place, ..)| wanted(place)));
    }

    /// How many were found so far.
    pub(crate) fn count(&self) -> usize {
        self.found.len()
    }

    /// Whether nothing was found.
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// The problems in the order of the files, each once. Beyond [`MOST_PROBLEMS`] they are only
    /// counted, so that a hopeless file is refused quickly.
    pub(crate) fn into_problems(mut self, sources: &[Source]) -> Problems {
        self.found.sort_by_key(|(place, ..)| (place.file, place.span.start));
        self.found.dedup();
        let more = self.found.len().saturating_sub(MOST_PROBLEMS);
        let found = self.found.into_iter().take(MOST_PROBLEMS);
        let mut problems: Vec<Problem> = found
            .map(|(place, message, suggestion)| Problem::at(&place, sources, message, suggestion))
            .collect();
        if more > 0 {
            let file = sources.first().map_or("mapping", |source| source.name.as_str());
            problems.push(Problem::of_file(file, format!("and {more} more problems"), None));
        }
        Problems(problems)
    }
}

/// The known name that is most like `name`, if any is alike at all.
pub(crate) fn nearest<'n>(name: &str, known: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    let lower = name.to_lowercase();
    let likeness = |known: &str| strsim::jaro_winkler(&lower, &known.to_lowercase());
    known
        .into_iter()
        .map(|known| (known, likeness(known)))
        .filter(|(_, likeness)| *likeness > 0.78)
        .max_by(|(_, left), (_, right)| left.total_cmp(right))
        .map(|(known, _)| known)
}

/// Line and column of a byte offset, both from 1, the column in characters.
pub(crate) fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    (line, before[start..].chars().count() + 1)
}

/// The title, the line with a caret, and the help; plain text without colour.
fn render(source: &Source, span: &Range<usize>, message: &str, help: Option<&str>) -> String {
    let span = first_line(&source.text, span);
    let mut group = Level::ERROR.primary_title(message).element(
        Snippet::source(source.text.as_str())
            .path(source.name.as_str())
            .annotation(AnnotationKind::Primary.span(span)),
    );
    if let Some(help) = help {
        group = group.element(Level::HELP.message(help));
    }
    Renderer::plain().decor_style(DecorStyle::Ascii).render(&[group])
}

/// The part of `span` that stands on its first line, so that one caret line is printed.
fn first_line(text: &str, span: &Range<usize>) -> Range<usize> {
    let end = span.end.min(text.len());
    let start = span.start.min(end);
    let part = text.get(start..end).unwrap_or_default();
    start..start + part.find('\n').unwrap_or(part.len())
}
