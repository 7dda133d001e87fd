//! Lines of comma-separated values (RFC 4180) that a spreadsheet cannot mistake for formulas.

use crate::domain::audit::AuditEntry;

/// The names of the columns.
pub(super) const HEAD: &str =
    "number,at,account,deal,kind,actor,summary,cause,fields,request_ids,duration_ms,hash\r\n";

/// One entry as a line.
pub(super) fn line(entry: &AuditEntry) -> String {
    let what = &entry.entry;
    let kind = serde_json::to_value(what.kind).unwrap_or_default();
    let fields = match what.fields.is_empty() {
        true => String::new(),
        false => serde_json::to_string(&what.fields).unwrap_or_default(),
    };
    let cells = [
        entry.number.to_string(),
        what.at.to_string(),
        what.account.to_string(),
        what.deal.as_ref().map(ToString::to_string).unwrap_or_default(),
        kind.as_str().unwrap_or_default().to_owned(),
        what.actor.clone(),
        what.summary.clone(),
        what.cause.clone().unwrap_or_default(),
        fields,
        what.request_ids.join(" "),
        what.duration_ms.map(|millis| millis.to_string()).unwrap_or_default(),
        entry.hash.clone(),
    ];
    let cells: Vec<String> = cells.iter().map(|cell| safe(cell)).collect();
    format!("{}\r\n", cells.join(","))
}

/// A cell in quotes where needed; one that a spreadsheet would run as a formula begins with an
/// apostrophe.
fn safe(cell: &str) -> String {
    let runs = cell.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let cell = if runs { format!("'{cell}") } else { cell.to_owned() };
    if cell.contains(['"', ',', '\n', '\r']) {
        return format!("\"{}\"", cell.replace('"', "\"\""));
    }
    cell
}

#[cfg(test)]
mod tests {
    use super::safe;

    #[test]
    fn no_cell_is_run_as_a_formula() {
        let table = [
            ("plain", "plain", "as it is"),
            ("=1+1", "'=1+1", "a formula"),
            ("+49 30", "'+49 30", "a phone number reads as a formula"),
            ("-5", "'-5", "so does a negative number"),
            ("@SUM(A1)", "'@SUM(A1)", "an old formula"),
            ("\t=1", "'\t=1", "white space in front is cut by spreadsheets"),
            ("a,b", "\"a,b\"", "a comma"),
            ("say \"hi\"", "\"say \"\"hi\"\"\"", "quotes are doubled"),
            ("=cmd,\"x\"", "\"'=cmd,\"\"x\"\"\"", "both"),
        ];
        for (cell, expected, why) in table {
            assert_eq!(safe(cell), expected, "{why}");
        }
    }
}
