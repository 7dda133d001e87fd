//! Lines of opportunities: their amounts, and the totals of the opportunity above them.

use rust_decimal::Decimal;
use serde_json::{Map, Value as Json, json};

use super::convert::decimal;
use super::target_of;
use crate::connect::dynamics365::sandbox::data::Row;
use crate::connect::dynamics365::sandbox::problem::Problem;
use crate::connect::dynamics365::sandbox::schema::Table;
use crate::connect::dynamics365::sandbox::state::{Actor, State};

const LINE: &str = "opportunityproduct";
const OPPORTUNITY: &str = "opportunity";
/// System Calculated: the estimate is the total of the lines, whatever anybody writes.
const CALCULATED: &str = "isrevenuesystemcalculated";

impl State {
    /// The opportunity that a line belongs to.
    pub(super) fn parent_of_line(&self, table: &Table, id: &str) -> Option<String> {
        if table.logical != LINE {
            return None;
        }
        let line = self.data.row(LINE, id)?;
        line.values.get("opportunityid").and_then(target_of).map(|(_, id)| id.to_owned())
    }

    /// Computes the totals of the opportunity above a line anew.
    pub(super) fn total_parent(
        &mut self,
        table: &Table,
        id: &str,
        actor: &Actor,
    ) -> Result<(), Problem> {
        match self.parent_of_line(table, id) {
            Some(parent) => self.recompute(&parent, actor),
            None => Ok(()),
        }
    }

    /// An update of the opportunity by the platform, with its version, event and feed entry.
    pub(super) fn recompute(&mut self, opportunity: &str, actor: &Actor) -> Result<(), Problem> {
        if self.data.row(OPPORTUNITY, opportunity).is_none() {
            return Ok(());
        }
        self.update(OPPORTUNITY, opportunity, &Map::new(), &actor.as_platform())
    }

    /// The totals of an opportunity that is about to be stored.
    pub(super) fn total(&self, row: &mut Row, table: &Table) {
        if table.logical != OPPORTUNITY {
            return;
        }
        let own = |line: &&std::sync::Arc<Row>| {
            line.values.get("opportunityid").and_then(target_of) == Some((OPPORTUNITY, &row.id))
        };
        let lines: Vec<_> = self.data.rows(LINE).filter(own).cloned().collect();
        let calculated = row.values.get(CALCULATED) == Some(&json!(true));
        if lines.is_empty() && !calculated && !row.values.contains_key("totalamount") {
            return;
        }
        let sum = |name: &str| {
            let amounts = lines.iter().filter_map(|line| line.values.get(name).and_then(decimal));
            amounts.sum::<Decimal>()
        };
        let total = sum("extendedamount");
        let tax = sum("tax");
        let amounts =
            [("totallineitemamount", total - tax), ("totaltax", tax), ("totalamount", total)];
        for (name, amount) in amounts {
            put(row, name, amount);
        }
        if calculated {
            put(row, "estimatedvalue", total);
            put(row, "estimatedvalue_base", total);
        }
    }
}

/// Computes the amounts of a line.
pub(super) fn complete(row: &mut Row) {
    let number = |row: &Row, name: &str| row.values.get(name).and_then(decimal).unwrap_or_default();
    let base = number(row, "quantity") * number(row, "priceperunit");
    let extended = base - number(row, "manualdiscountamount") + number(row, "tax");
    for (name, amount) in [("baseamount", base), ("extendedamount", extended)] {
        put(row, name, amount);
    }
    if let Some(name) = row.values.get("productdescription").cloned() {
        row.values.entry("opportunityproductname").or_insert(name);
    }
}

fn put(row: &mut Row, name: &str, amount: Decimal) {
    if let Ok(amount) = serde_json::from_str::<Json>(&amount.round_dp(2).to_string()) {
        row.values.insert(name.to_owned(), amount);
    }
}
