//! Which customer row an arriving deal belongs to. Never guessed: when unsure, a person decides.

/// A row that might be the customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Its id.
    pub id: String,
    /// Its postal code; empty if it has none.
    pub postal_code: String,
}

/// What to do about the customer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// Point to this row.
    Reuse(String),
    /// Make a new row.
    Create,
    /// Several rows fit equally well.
    Ambiguous(Vec<String>),
}

/// Chooses among rows that all carry the customer's name.
///
/// Same postal code: reuse. One of the two postal codes missing: reuse if it is the only such row.
/// Other postal codes only, or no row: create. Several equally good: ambiguous.
#[must_use]
pub fn choose(candidates: &[Candidate], postal_code: &str) -> Choice {
    let plain = |code: &str| code.replace([' ', '-'], "").to_lowercase();
    let wanted = plain(postal_code);
    let same =
        |candidate: &&Candidate| !wanted.is_empty() && plain(&candidate.postal_code) == wanted;
    let exact: Vec<&Candidate> = candidates.iter().filter(same).collect();
    let open =
        |candidate: &&Candidate| wanted.is_empty() || candidate.postal_code.trim().is_empty();
    let loose: Vec<&Candidate> = candidates.iter().filter(open).collect();
    let fitting = if exact.is_empty() { loose } else { exact };
    match fitting.as_slice() {
        [] => Choice::Create,
        [only] => Choice::Reuse(only.id.clone()),
        several => Choice::Ambiguous(several.iter().map(|row| row.id.clone()).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::{Candidate, Choice, choose};

    #[test]
    fn the_customer_is_matched_by_the_stated_rules() {
        let reuse = |id: &str| Choice::Reuse(id.to_owned());
        let table: Vec<(&[(&str, &str)], &str, Choice, &str)> = vec![
            (&[], "0150", Choice::Create, "nobody has the name"),
            (&[("a", "0150")], "0150", reuse("a"), "same name and postal code"),
            (&[("a", "01 50")], "0150", reuse("a"), "written with a space"),
            (&[("a", "9999")], "0150", Choice::Create, "another postal code"),
            (&[("a", "")], "0150", reuse("a"), "its postal code is missing, and it is unique"),
            (&[("a", "0150")], "", reuse("a"), "ours is missing, and it is unique"),
            (&[("a", ""), ("b", "0150")], "0150", reuse("b"), "the exact one is better"),
            (
                &[("a", "0150"), ("b", "0150")],
                "0150",
                Choice::Ambiguous(vec!["a".to_owned(), "b".to_owned()]),
                "two exact ones",
            ),
            (
                &[("a", "0150"), ("b", "9999")],
                "",
                Choice::Ambiguous(vec!["a".to_owned(), "b".to_owned()]),
                "ours is missing, and two have the name",
            ),
        ];
        for (rows, postal_code, expected, why) in table {
            let candidates: Vec<Candidate> = rows
                .iter()
                .map(|(id, code)| Candidate {
                    id: (*id).to_owned(),
                    postal_code: (*code).to_owned(),
                })
                .collect();
            assert_eq!(choose(&candidates, postal_code), expected, "{why}");
        }
    }
}
