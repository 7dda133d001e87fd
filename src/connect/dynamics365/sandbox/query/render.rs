//! Rows as JSON text. Text, because money has four decimals on the wire and a JSON number has none
//! to spare.

use serde_json::{Value as Json, json};

use super::Cookie;
use super::evaluate::{RowSubject, meets};
use super::options::Options;
use crate::connect::dynamics365::sandbox::data::Row;
use crate::connect::dynamics365::sandbox::problem::Problem;
use crate::connect::dynamics365::sandbox::schema::{Column, Kind, Table};
use crate::connect::dynamics365::sandbox::state::State;
use crate::connect::dynamics365::sandbox::write::{decimal, target_of};

/// The members of a JSON object, in order.
#[derive(Debug, Default)]
pub(in super::super) struct Members(String);

impl Members {
    /// Adds a member whose value is already JSON text.
    pub(in super::super) fn text(&mut self, name: &str, value: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        self.0.push_str(&Json::from(name).to_string());
        self.0.push(':');
        self.0.push_str(value);
    }

    /// Adds a member.
    pub(in super::super) fn add(&mut self, name: &str, value: &Json) {
        self.text(name, &value.to_string());
    }

    /// The object.
    pub(in super::super) fn object(self) -> String {
        format!("{{{}}}", self.0)
    }
}

/// The ETag of a version.
pub(in super::super) fn etag(version: u64) -> String {
    format!("W/\"{version}\"")
}

impl State {
    /// A row as a JSON object. `context` is its `@odata.context`, for a row that is not in a list.
    pub(in super::super) fn render(
        &self,
        table: &Table,
        row: &Row,
        options: &Options,
        annotations: Option<&str>,
        context: Option<&str>,
    ) -> Result<String, Problem> {
        let mut members = Members::default();
        if let Some(context) = context {
            members.add("@odata.context", &json!(context));
        }
        members.add("@odata.etag", &json!(etag(row.version)));
        for column in selection(table, options.select.as_deref())? {
            self.render_column(table, row, column, annotations, &mut members);
        }
        for (name, inner) in &options.expand {
            let inner = (inner, options.root.as_str());
            self.render_expanded(table, row, name, inner, annotations, &mut members)?;
        }
        Ok(members.object())
    }

    fn render_column(
        &self,
        table: &Table,
        row: &Row,
        column: &Column,
        annotations: Option<&str>,
        members: &mut Members,
    ) {
        let name = column.wire_name();
        let value = if column.logical == table.primary_id {
            json!(row.id)
        } else if column.logical == "versionnumber" {
            json!(row.version)
        } else {
            row.values.get(&column.logical).cloned().unwrap_or(Json::Null)
        };
        let value = if column.readable { value } else { Json::Null };
        match (&column.kind, target_of(&value)) {
            (_, Some((_, id))) => members.add(&name, &json!(id)),
            (Kind::Money { .. }, _) => match decimal(&value) {
                Some(amount) => members.text(&name, &format!("{amount:.4}")),
                None => members.add(&name, &Json::Null),
            },
            _ => members.add(&name, &value),
        }
        let Some(wanted) = annotations.filter(|_| !value.is_null()) else { return };
        let asks =
            |annotation: &str| wanted == "*" || wanted.split(',').any(|w| w.trim() == annotation);
        if asks("OData.Community.Display.V1.FormattedValue")
            && let Some(label) = self.formatted(column, &value)
        {
            let name = format!("{name}@OData.Community.Display.V1.FormattedValue");
            members.add(&name, &json!(label));
        }
        if let (Kind::Lookup(targets), Some((target, _))) = (&column.kind, target_of(&value)) {
            if asks("Microsoft.Dynamics.CRM.lookuplogicalname") {
                members.add(
                    &format!("{name}@Microsoft.Dynamics.CRM.lookuplogicalname"),
                    &json!(target),
                );
            }
            let navigation = targets.iter().find(|candidate| candidate.table == target);
            if let Some(navigation) =
                navigation.filter(|_| asks("Microsoft.Dynamics.CRM.associatednavigationproperty"))
            {
                members.add(
                    &format!("{name}@Microsoft.Dynamics.CRM.associatednavigationproperty"),
                    &json!(navigation.navigation),
                );
            }
        }
    }

    fn formatted(&self, column: &Column, value: &Json) -> Option<String> {
        if let Some((table, id)) = target_of(value) {
            return self.name_of(table, id);
        }
        match &column.kind {
            Kind::Boolean(no, yes) => Some(if value.as_bool()? { yes } else { no }.clone()),
            Kind::Choice(_) | Kind::State(_) | Kind::Status(_) => {
                let number = value.as_i64()?;
                let option = column.options().iter().find(|option| option.value == number);
                option.map(|option| option.label.clone())
            }
            Kind::Money { .. } => decimal(value).map(|amount| format!("${amount:.2}")),
            Kind::Date | Kind::Instant => value.as_str().map(str::to_owned),
            Kind::Integer(..) | Kind::Decimal(_) => Some(value.to_string()),
            _ => None,
        }
    }

    /// The name for people of a row.
    pub(in super::super) fn name_of(&self, table: &str, id: &str) -> Option<String> {
        let definition = self.schema.table(table)?;
        let row = self.data.row(table, id)?;
        row.values.get(&definition.primary_name)?.as_str().map(str::to_owned)
    }

    fn render_expanded(
        &self,
        table: &Table,
        row: &Row,
        name: &str,
        (inner, root): (&Options, &str),
        annotations: Option<&str>,
        members: &mut Members,
    ) -> Result<(), Problem> {
        if let Some((column, target)) = table.navigation(name) {
            let held = row.values.get(&column.logical).and_then(target_of);
            let held = held.filter(|(held, _)| *held == target.table);
            let other = held.and_then(|(table, id)| self.data.row(table, id));
            let definition = self.table(&target.table)?;
            selection(&definition, inner.select.as_deref())?;
            let text = match other {
                Some(other) => self.render(&definition, other, inner, annotations, None)?,
                None => "null".to_owned(),
            };
            members.text(name, &text);
            return Ok(());
        }
        let collection = table.collections.iter().find(|(navigation, _, _)| navigation == name);
        let (_, child, lookup) =
            collection.ok_or_else(|| Problem::unknown_property(&table.logical, name))?;
        let definition = self.table(child)?;
        let mut below = Vec::new();
        for other in self.children(child, lookup, &table.logical, &row.id) {
            let subject = RowSubject { state: self, table: &definition, row: other };
            if inner.filter.as_ref().map_or(Ok(true), |filter| meets(filter, &subject))? {
                below.push(other);
            }
        }
        below.truncate(inner.top.unwrap_or(usize::MAX));
        let is_cut = below.len() > self.options.page_limit;
        if is_cut {
            // As the list behind the link is ordered.
            below.sort_by(|left, right| left.id.cmp(&right.id));
            below.truncate(self.options.page_limit);
        }
        let render = |other: &&Row| self.render(&definition, other, inner, annotations, None);
        let rendered = below.iter().map(render).collect::<Result<Vec<_>, _>>()?;
        members.text(name, &format!("[{}]", rendered.join(",")));
        if let Some(last) = below.last().filter(|_| is_cut) {
            let cookie = Cookie { done: below.len(), keys: Vec::new(), id: last.id.clone() };
            let select = inner.select.as_ref().map(|names| format!("$select={}&", names.join(",")));
            let link = format!(
                "{root}/{}({})/{name}?{}$skiptoken={}",
                table.set,
                row.id,
                select.unwrap_or_default(),
                cookie.write()
            );
            members.add(&format!("{name}@odata.nextLink"), &json!(link));
        }
        Ok(())
    }

    /// The rows of `child` whose `lookup` points to a row.
    pub(in super::super) fn children<'a>(
        &'a self,
        child: &'a str,
        lookup: &'a str,
        table: &'a str,
        id: &'a str,
    ) -> impl Iterator<Item = &'a Row> {
        self.data
            .rows(child)
            .map(AsRef::as_ref)
            .filter(move |row| row.values.get(lookup).and_then(target_of) == Some((table, id)))
    }
}

/// The columns to show: the selected ones, the primary key and, with money, the currency.
fn selection<'a>(table: &'a Table, select: Option<&[String]>) -> Result<Vec<&'a Column>, Problem> {
    let Some(names) = select else { return Ok(table.columns.values().collect()) };
    let mut columns = Vec::new();
    for name in names {
        let column = table
            .selectable(name)
            .ok_or_else(|| Problem::unknown_property(&table.logical, name))?;
        columns.push(column);
    }
    let money = columns.iter().any(|column| matches!(column.kind, Kind::Money { .. }));
    let currency = table.columns.get("transactioncurrencyid").filter(|_| money);
    let always = table.columns.get(&table.primary_id).into_iter().chain(currency);
    for column in always {
        if !columns.iter().any(|present| present.logical == column.logical) {
            columns.push(column);
        }
    }
    let mut seen = std::collections::BTreeSet::new();
    columns.retain(|column| seen.insert(column.logical.as_str()));
    Ok(columns)
}
