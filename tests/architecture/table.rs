//! Who may import whom, as data. `ARCHITECTURE.md` says why; a change here changes that page too.

/// A part of the tree and what it may name. The longest `part` that a module begins with counts.
pub struct Rule {
    /// A module path below the crate, with `/`; a line for `connect/x` also covers `connect/x/y`.
    pub part: &'static str,
    /// The parts of ours that it may name, besides itself. A `*` at the end stands for everything
    /// below.
    pub may_name: &'static [&'static str],
}

/// What both sides of a vendor's wire may name: the seams and the shared client.
const SEAMS: &str = "connect";

pub const RULES: &[Rule] = &[
    Rule { part: "domain", may_name: &[] },
    Rule { part: "mapping", may_name: &["domain"] },
    Rule { part: "merge", may_name: &["domain", "mapping"] },
    Rule { part: "store", may_name: &["domain"] },
    Rule { part: "store/engine", may_name: &["domain", "store"] },
    Rule { part: "store/memory", may_name: &["domain", "store", "store/engine"] },
    Rule { part: "store/sled", may_name: &["domain", "store", "store/engine"] },
    Rule { part: "connect", may_name: &["domain"] },
    Rule { part: "connect/http", may_name: &["domain", SEAMS] },
    Rule { part: "connect/sandbox", may_name: &["domain"] },
    Rule { part: "connect/partner_center", may_name: &["domain", SEAMS, "connect/http"] },
    Rule { part: "connect/dynamics365", may_name: &["domain", SEAMS, "connect/http"] },
    Rule { part: "connect/salesforce", may_name: &["domain", SEAMS, "connect/http"] },
    // An emulator is written from the reference and not from our client: it names neither the
    // client of its vendor nor the seams.
    Rule { part: "connect/partner_center/sandbox", may_name: &["domain", "connect/sandbox"] },
    Rule { part: "connect/dynamics365/sandbox", may_name: &["domain", "connect/sandbox"] },
    Rule { part: "connect/salesforce/sandbox", may_name: &["domain", "connect/sandbox"] },
    Rule { part: "sync", may_name: &["domain", "mapping", "merge", "store", SEAMS] },
    Rule { part: "ingress", may_name: &["domain", "store", SEAMS] },
    Rule { part: "admin", may_name: &["domain", "store", "mapping", "merge"] },
    Rule { part: "listen", may_name: &[] },
    Rule { part: "config", may_name: &["domain"] },
    Rule { part: "telemetry", may_name: &["domain"] },
    Rule { part: "sandbox", may_name: &["domain", "mapping", "config", "connect/*"] },
    Rule { part: "app", may_name: &["*"] },
    Rule { part: "cli", may_name: &["app", "config", "domain", "mapping", "store", "sandbox"] },
    Rule { part: "main", may_name: &["cli", "telemetry"] },
];

/// A crate and the parts that may name it. What is not listed may be named anywhere outside of the
/// pure parts.
pub const KEPT_INSIDE: &[(&str, &[&str])] = &[
    ("sled", &["store/sled"]),
    ("reqwest", &["connect/http"]),
    ("governor", &["connect/http"]),
    ("axum", &["ingress", "admin", "listen", "app"]),
    ("hyper", &["listen"]),
    ("backoff", &["sync/retry"]),
    ("clap", &["cli", "main"]),
    ("minijinja", &["mapping/formula", "admin/console"]),
    ("quick_xml", &["connect/salesforce"]),
];

/// Crates that no pure part may name.
pub const IMPURE: &[&str] = &["tokio", "tokio_util", "tracing", "async_trait", "ring"];

/// Parts that compute and nothing else.
pub const PURE: &[&str] = &["domain", "mapping", "merge"];
