//! `why`: the story of one deal.

use clap::Args;
use serde_json::Value as Json;

use super::client::Reach;
use super::{
    CliError, ConfigArgument, JsonArgument, Out, Outcome, list, minute, print_json, query, table,
    text,
};
use crate::domain::value::Value;

/// Why a deal is as it is: what happened, oldest first, and the next step.
#[derive(Debug, Args)]
pub(super) struct Why {
    /// Id of a referral, a record or a deal
    #[arg(value_name = "ID")]
    id: String,
    #[command(flatten)]
    config: ConfigArgument,
    #[command(flatten)]
    json: JsonArgument,
}

impl Why {
    /// Prints it.
    pub(super) async fn run(self, out: &mut dyn Out) -> Result<Outcome, CliError> {
        let reach = Reach::find(&self.config.load()?).await?;
        let told = reach.get(&format!("why{}", query(&[("id", Some(&self.id))]))).await?;
        if self.json.json {
            return print_json(out, &told);
        }
        let name = match text(&told, "/summary/name") {
            "" => self.id.as_str(),
            name => name,
        };
        let state = match text(&told, "/summary/state") {
            "" => "not linked yet",
            state => state,
        };
        table::paragraph(out, "", &format!("{name}: {state}"))?;
        let alert = text(&told, "/summary/alert");
        if !alert.is_empty() {
            table::paragraph(out, "-> ", alert)?;
        }
        writeln!(out)?;
        for entry in list(&told, "/story") {
            print(out, entry)?;
        }
        print_standing(out, &told)?;
        Ok(Outcome::Fine)
    }
}

/// How it stands: what waits, what rests or is left out, what is held; each with the next step.
fn print_standing(out: &mut dyn Out, told: &Json) -> Result<(), CliError> {
    let next = if list(told, "/held").is_empty() {
        "The next try is due."
    } else {
        "A later change is tried then, and with it what is held below."
    };
    for notice in list(told, "/waiting") {
        let due = minute(text(notice, "/due"));
        table::paragraph(out, &format!("{due}  "), next)?;
    }
    for notice in list(told, "/deadlines") {
        let due = minute(text(notice, "/due"));
        table::paragraph(out, &format!("{due}  "), "Looked at again, whatever happens before.")?;
    }
    for link in list(told, "/summary/links") {
        for field in list(link, "/parked") {
            let rests = format!("Rests: {}: {}", text(field, "/field"), text(field, "/reason"));
            table::paragraph(out, "", &rests)?;
            table::paragraph(out, "-> ", text(field, "/fix"))?;
        }
    }
    for row in list(told, "/parked") {
        let line = format!(
            "Left out for every {}: {} ({}): {}",
            text(row, "/kind"),
            text(row, "/label"),
            text(row, "/place"),
            text(row, "/reason"),
        );
        table::paragraph(out, "", &line)?;
        table::paragraph(out, "-> ", text(row, "/fix"))?;
    }
    for letter in list(told, "/held") {
        let since = minute(text(letter, "/held"));
        table::paragraph(
            out,
            &format!("{since}  "),
            &format!("Held: {}", text(letter, "/hold/reason")),
        )?;
        table::paragraph(out, "-> ", text(letter, "/hold/fix"))?;
        let id = text(letter, "/notice/id");
        table::paragraph(out, "-> ", &format!("Then: cosell-sync dead-letters retry {id}"))?;
    }
    Ok(())
}

/// One entry: when, what, because of what, and the fields.
fn print(out: &mut dyn Out, entry: &Json) -> Result<(), CliError> {
    let at = minute(text(entry, "/at"));
    table::paragraph(out, &format!("{at}  "), text(entry, "/summary"))?;
    let indent = " ".repeat(at.chars().count() + 2);
    let cause = text(entry, "/cause");
    if !cause.is_empty() {
        table::paragraph(out, &format!("{indent}because of "), cause)?;
    }
    for field in list(entry, "/fields") {
        let change = format!(
            "{}: {} -> {}",
            text(field, "/field"),
            value(&field["before"]),
            value(&field["after"])
        );
        table::paragraph(out, &format!("{indent}  "), &change)?;
    }
    Ok(())
}

/// A canonical value as a person reads it.
pub(super) fn value(json: &Json) -> String {
    match serde_json::from_value::<Value>(json.clone()) {
        Ok(Value::Null) => "(empty)".to_owned(),
        Ok(value) => value.to_string(),
        // What was redacted is no value any more.
        Err(_) => json.as_str().map_or_else(|| json.to_string(), str::to_owned),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::value;

    #[test]
    fn values_are_told_in_words() {
        let table = [
            (json!({ "type": "null" }), "(empty)", "nothing"),
            (json!({ "type": "decimal", "value": "125000.5" }), "125,000.5", "an amount"),
            (json!({ "type": "date", "value": "2027-03-31" }), "31 Mar 2027", "a date"),
            (
                json!({ "type": "list", "value": [
                    { "identity": "sol-1", "parts": [["id", { "type": "text", "value": "SOL-1" }]] },
                ] }),
                "SOL-1",
                "items by their names",
            ),
            (json!("redacted"), "redacted", "no value any more"),
        ];
        for (json, expected, why) in table {
            assert_eq!(value(&json), expected, "{why}");
        }
    }
}
