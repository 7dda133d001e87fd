//! Formulas: one-way values and conditions that a row cannot say.
//!
//! An expression of the template language minijinja in an empty environment: no functions, no
//! loops, no access to anything but `referral` and `record`, and the filters of [`filters`]. Size
//! and nesting are limited when it is compiled, steps, texts and lists while it runs, so every
//! formula ends quickly. A formula that fails parks its field.

mod filters;
mod scan;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::LazyLock;

use minijinja::value::Serde;
use minijinja::{Environment, Expression, UndefinedBehavior, Value as Any};
use serde_json::{Map, Value as Json};

use super::codec::Fault;
use super::problem::nearest;
use crate::domain::record::Fields;
use crate::domain::referral::Referral;

pub(crate) use filters::FILTERS;

/// The longest formula, in bytes.
pub(crate) const LONGEST: usize = 2_000;

/// The most names, values and operators of a formula.
const MOST_PARTS: usize = 256;

/// The most brackets within brackets.
const DEEPEST: usize = 16;

/// The steps that one evaluation may take, and the bytes it may make, counted together.
const FUEL: u64 = 20_000;

static ENVIRONMENT: LazyLock<Environment<'static>> = LazyLock::new(|| {
    let mut environment = Environment::empty();
    environment.set_undefined_behavior(UndefinedBehavior::Chainable);
    environment.set_fuel(Some(FUEL));
    environment.set_recursion_limit(50);
    filters::install(&mut environment);
    environment
});

/// A compiled formula.
pub(crate) struct Formula {
    text: String,
    expression: Expression<'static, 'static>,
    paths: Vec<String>,
}

/// What is wrong with a formula, and perhaps a way out.
pub(crate) type FormulaProblem = (String, Option<String>);

impl Formula {
    /// Compiles `text`.
    ///
    /// # Errors
    ///
    /// Too long, not an expression, unknown filter, test, function or variable; all that is found
    /// at once.
    pub(crate) fn compile(text: &str) -> Result<Self, Vec<FormulaProblem>> {
        if text.len() > LONGEST {
            let message = format!("the formula is longer than {LONGEST} bytes");
            return Err(vec![(message, Some("split it, or use a lookup".to_owned()))]);
        }
        let (parts, depth) = scan::size(text);
        if parts > MOST_PARTS || depth > DEEPEST {
            let message = format!(
                "the formula has {parts} names, values and operators, {depth} brackets deep; at \
                 most {MOST_PARTS} and {DEEPEST} are allowed"
            );
            return Err(vec![(message, Some("split it, or use a lookup".to_owned()))]);
        }
        if scan::multiplies_more_than_numbers(text) {
            let message = "`*` stands beside something that may be no number".to_owned();
            let way_out = "use `|times(...)`, or write `|int` or `|number` behind it".to_owned();
            return Err(vec![(message, Some(way_out))]);
        }
        let expression =
            ENVIRONMENT.compile_expression_owned(text.to_owned()).map_err(|error| {
                let detail = error.detail().unwrap_or("not an expression").to_owned();
                vec![(format!("the formula cannot be read: {detail}"), None)]
            })?;
        let problems = scan::names(text).into_iter().filter_map(unknown_name).collect::<Vec<_>>();
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut paths: Vec<String> = expression.undeclared_variables(true).into_iter().collect();
        paths.sort();
        Ok(Self { text: text.to_owned(), expression, paths })
    }

    /// Every path that the formula reads: `referral.salesStage`, `record.Amount`.
    pub(crate) fn paths(&self) -> &[String] {
        &self.paths
    }

    /// Whether it reads `referral` or `record`.
    pub(crate) fn reads(&self, variable: &str) -> bool {
        self.paths.iter().any(|path| path.split('.').next() == Some(variable))
    }

    /// The formula as it was written.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The value of the formula as JSON.
    pub(crate) fn value(&self, context: &Context) -> Result<Json, Fault> {
        let value = self.evaluate(context)?;
        self.json(&value)
    }

    /// Whether the condition holds.
    pub(crate) fn holds(&self, context: &Context) -> Result<bool, Fault> {
        Ok(self.evaluate(context)?.is_true())
    }

    fn evaluate(&self, context: &Context) -> Result<Any, Fault> {
        self.expression.eval(context.0.clone()).map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &minijinja::Error) -> Fault {
        let detail = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
        Fault::new(
            format!("the formula `{}` failed: {detail}", self.text),
            "correct the value it reads, or the formula in the mapping file",
        )
    }

    fn json(&self, value: &Any) -> Result<Json, Fault> {
        filters::measure(value).map_err(|error| self.failed(&error))?;
        let infinite = f64::try_from(value.clone()).is_ok_and(|number| !number.is_finite());
        let json = serde_json::to_value(value).ok().filter(|_| !infinite);
        json.ok_or_else(|| {
            Fault::new(
                format!("the formula `{}` gave {value}, which is no usable value", self.text),
                "correct the value it reads, or the formula in the mapping file",
            )
        })
    }
}

impl fmt::Debug for Formula {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Formula").field(&self.text).finish()
    }
}

/// What formulas may read.
pub(crate) struct Context(Any);

impl Context {
    /// What `paths` name of a referral, as `referral`.
    pub(crate) fn referral(referral: &Referral, paths: &[String]) -> Self {
        if paths.iter().any(|path| path == "referral") {
            return Self::of("referral", referral.fields());
        }
        let mut nested = Map::new();
        for path in paths.iter().filter_map(|path| path.strip_prefix("referral.")) {
            if let Some(value) = referral.get(path) {
                nest(&mut nested, path, value.clone());
            }
        }
        Self::of("referral", &nested)
    }

    /// What `paths` name of a flat record, as `record`; the field `Account.Name` is
    /// `record.Account.Name`.
    pub(crate) fn record(fields: &Fields, paths: &[String]) -> Self {
        let all = paths.iter().any(|path| path == "record");
        let mut nested = Map::new();
        let named = paths.iter().filter_map(|path| path.strip_prefix("record."));
        let named = named.filter_map(|name| Some((name, fields.get(name)?)));
        let every = fields.iter().filter(|_| all).map(|(name, value)| (name.as_str(), value));
        for (name, value) in named.chain(every) {
            nest(&mut nested, name, value.clone());
        }
        Self::of("record", &nested)
    }

    fn of(name: &str, fields: &Fields) -> Self {
        Self(Any::from(Serde(BTreeMap::from([(name, fields)]))))
    }
}

/// Puts `value` at the dotted `name`.
fn nest(into: &mut Map<String, Json>, name: &str, value: Json) {
    match name.split_once('.') {
        None => {
            into.entry(name).or_insert(value);
        }
        Some((first, rest)) => {
            let inner = into.entry(first).or_insert_with(|| Json::Object(Map::new()));
            if !inner.is_object() {
                *inner = Json::Object(Map::new());
            }
            if let Some(inner) = inner.as_object_mut() {
                nest(inner, rest, value);
            }
        }
    }
}

/// A problem if a name of a formula is not one of ours.
fn unknown_name(name: scan::Name) -> Option<FormulaProblem> {
    let (what, name, known): (_, _, &[&str]) = match name {
        scan::Name::Filter(name) => ("filter", name, &FILTERS),
        scan::Name::Test(name) => ("test", name, &filters::TESTS),
        scan::Name::Function(name) => ("function", name, &[]),
        scan::Name::Variable(name) => ("variable", name, &["record", "referral"]),
    };
    if known.contains(&name.as_str()) {
        return None;
    }
    let suggestion = match nearest(&name, known.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if known.is_empty() => "formulas have filters only: `value|filter`".to_owned(),
        None => format!("known: {}", known.join(", ")),
    };
    Some((format!("unknown {what} `{name}` in the formula"), Some(suggestion)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{Context, Formula, LONGEST};
    use crate::domain::referral::Referral;

    fn value(text: &str) -> Result<serde_json::Value, String> {
        let referral = Referral::from_json(json!({
            "id": "11111111-2222-4333-8444-555555555555",
            "salesStage": "80", "name": " A ", "none": null, "zero": 0,
            "smallest": i64::MIN, "list": [{"id": "b"}, {"id": "a"}],
            "dealValue": 0.1, "close": "2026-12-31T23:30:00Z",
        }));
        let formula = Formula::compile(text).map_err(|problems| problems[0].0.clone())?;
        let context = Context::referral(&referral.expect("a referral"), formula.paths());
        formula.value(&context).map_err(|fault| fault.reason)
    }

    #[test]
    fn formulas_give_the_expected_values() {
        let table = [
            ("'Commit' if referral.salesStage|int >= 80 else 'Pipeline'", json!("Commit")),
            ("referral.name|trim|lower", json!("a")),
            ("referral.missing.deeper|default('x')", json!("x")),
            ("referral.none|int", json!(0)),
            ("referral.list|column('id')|join('; ')", json!("b; a")),
            ("referral.dealValue|plus('0.2')", json!("0.3")),
            ("referral.close|date('Europe/Berlin')", json!("2027-01-01")),
            ("referral.close|date", json!("2026-12-31")),
            ("referral.none is empty", json!(true)),
            ("'stage ' ~ referral.salesStage", json!("stage 80")),
            ("referral.list[1].id", json!("a")),
            ("referral['name']|trim", json!("A")),
            ("referral|length", json!(0)),
        ];
        for (text, expected) in table {
            assert_eq!(value(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_fails_is_an_error_and_never_a_value() {
        let table = [
            ("1 / referral.zero", "division by zero"),
            ("referral.salesStage|divided_by(referral.zero)", "division by zero"),
            (
                "(referral.smallest|int // -1) * 9223372036854775807 * 9223372036854775807 * 9223372036854775807",
                "overflow",
            ),
            ("1e308 * 10", "not a finite number"),
            ("referral.name|int", "text that is no number"),
            ("'x' * 100000000", "too much memory"),
        ];
        for (text, why) in table {
            assert!(value(text).is_err(), "{text}: {why}, gave {:?}", value(text));
        }
    }

    /// What would take much time or memory is refused before it is made, or runs out of steps. A
    /// limit that does not hold shows as a test that eats the machine.
    #[test]
    fn no_formula_costs_more_than_its_limits() {
        let long = "x".repeat(600);
        let grow = format!(
            "referral.name|replace('', '{long}')|replace('x', '{long}')|replace('x', '{long}')"
        );
        let lists = format!("referral.name{}", "|split('')".repeat(100));
        let joined = format!("([1] * 9000)|join('{long}')");
        let minus = format!("{}1", "-".repeat(LONGEST - 1));
        let not = format!("{}true", "not ".repeat(490));
        let powers = format!("9{}", "**9".repeat(600));
        let choices = format!("{}1", "1 if referral.zero else ".repeat(40));
        let slices = format!("([1] * 90000000){}", "[::-1]".repeat(50));
        let nested = format!("{}1{}", "[".repeat(17), "]".repeat(17));
        let table = [
            ("9**9**9", "a power of powers"),
            (powers.as_str(), "many powers"),
            ("2.0 ** 99999", "a power without end"),
            (minus.as_str(), "many signs"),
            (not.as_str(), "many negations"),
            (nested.as_str(), "lists within lists"),
            (grow.as_str(), "a text that grows with each step"),
            (lists.as_str(), "a list printed and split again"),
            ("[1] * 90000000", "a list of many items as the result"),
            ("([1] * 90000000)|length", "a list of many items in a filter"),
            ("([1] * 90000000)|last", "a list of many items in a filter"),
            ("([1] * 90000000)|column('a')", "a list of many items in a filter"),
            ("([1] * 90000000)|int", "a list as a number"),
            ("([1] * 90000000) ~ ''", "a list of many items as text"),
            ("([1] * 90000000) == ([1] * 90000000)", "a comparison of many items"),
            ("2 in ([1] * 90000000)", "a search through many items"),
            ("90000000 * [1] < [1]", "from the other side"),
            ("90000000 * -(0 or ([1])) == [2]", "within brackets, behind a sign"),
            ("('x' and [1]) * 90000000 == 1", "a list that is the choice"),
            ("[[1]][0] * 90000000 == 1", "an item of a list"),
            ("1 in [1] * 90000000", "behind a word"),
            ("[[[1] * 9000] * 9000] * 9000", "lists in lists"),
            ("{'a': [1] * 90000000}", "a list in a table"),
            ("('x' * 60000) * 60000", "a text times a text"),
            ("('x' * 60000) ~ ('x' * 60000)", "more text than a field could hold"),
            (joined.as_str(), "a long separator"),
            (slices.as_str(), "slices of many items"),
            ("(referral.list * 90000000)|join(',')", "items of the data"),
            ("referral.list * 40000000 == referral.list * 40000000", "a comparison of them"),
            ("2 in referral.list * 40000000", "a search through them"),
            ("40000000 * -(referral.zero + 1 or referral.list) == [2]", "brackets around them"),
            ("referral.list.0 * 40000000 == 1", "an item by its number"),
            ("(referral.name|split(' ')) * 40000000 == [1]", "a list that a filter made"),
            ("referral.name|split(' ') * 40000000 == [1]", "without brackets"),
            ("40000000 * referral.list[::1] == [1]", "a slice"),
            ("('x' if referral.zero else 'y') * 90000000 == 'x'", "a text that is the choice"),
            ("'x' * 90000000 == 'y'", "a long text, made while the formula is compiled"),
            ("(1,) * 3", "a list in brackets"),
            ("((1,) * 31,) * 31", "a list of lists in brackets"),
            ("{'a': 1} * 3", "a table"),
            ("* 3", "nothing before it"),
            ("3 *", "nothing behind it"),
            ("referral.name|split('')", "no separator"),
            ("referral.list|upper", "a list is no text"),
        ];
        for (text, why) in table {
            let value = value(text);
            assert!(value.is_err(), "{why}: {text:.80} gave {value:.80?}");
        }
        assert_eq!(value(&choices), Ok(json!(1)), "nesting that is long but not deep");
        let fine = [
            (
                "2 * (referral.list[1].quantity|default(2)|int) * 3 if 'a' in ['a'] else 0",
                json!(12),
            ),
            ("2 ** 10", json!(1024)),
            ("1.5 * -2", json!(-3.0)),
            ("(referral.salesStage|int + 1) * (referral.list|length)", json!(162)),
            ("referral['list']|length * ('5'|int)", json!(10)),
            ("((referral.zero|int)) * 3 if referral.list else 'x'", json!(0)),
        ];
        for (text, expected) in fine {
            assert_eq!(value(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn nothing_outside_is_reachable_and_size_is_limited() {
        let deep = format!("{}1{}", "(".repeat(900), ")".repeat(900));
        let wide = "1+".repeat(LONGEST) + "1";
        let table = [
            ("env('PATH')", "no functions"),
            ("include('secret')", "no functions"),
            ("secrets.token", "no variables but ours"),
            ("referral.name|tojson", "no filters but ours"),
            ("referral.name is startingwith('a')", "no tests but ours"),
            (deep.as_str(), "nesting"),
            (wide.as_str(), "size"),
            ("referral.name |", "half a formula"),
        ];
        for (text, why) in table {
            assert!(Formula::compile(text).is_err(), "{why}: {text:.60}");
        }
    }
}
