//! Who may import whom, as data. `ARCHITECTURE.md` says why; a change here changes that page too.

/// A part of the tree and what it may name. The longest `part` that a module begins with counts.
pub(crate) struct Rule {
    /// A module path below the crate, with `/`; a line for `connect/x` also covers `connect/x/y`.
    pub(crate) part: &'static str,
    /// The parts of ours that it may name, besides itself. A `*` at the end stands for everything
    /// below.
    pub(crate) may_name: &'static [&'static str],
}

/// What both sides of a vendor's wire may name: the seams and the shared client.
const SEAMS: &str = "connect";

pub(crate) const RULES: &[Rule] = &[
    Rule { part: "domain", may_name: &[] },
    Rule { part: "mapping", may_name: &["domain"] },
    Rule { part: "merge", may_name: &["domain", "mapping"] },
    Rule { part: "store", may_name: &["domain"] },
    Rule { part: "store/verbs", may_name: &["domain", "store", "store/engine"] },
    Rule { part: "store/engine", may_name: &["domain", "store"] },
    Rule { part: "store/memory", may_name: &["domain", "store", "store/engine", "store/verbs"] },
    Rule { part: "store/sled", may_name: &["domain", "store", "store/engine", "store/verbs"] },
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
    // It implements the meter that the door asks for, so that the door knows no metrics library.
    Rule { part: "telemetry", may_name: &["domain", "ingress"] },
    Rule {
        part: "sandbox",
        may_name: &[
            "domain",
            "mapping",
            "connect/sandbox",
            "connect/partner_center/sandbox",
            "connect/dynamics365/sandbox",
            "connect/salesforce/sandbox",
        ],
    },
    Rule { part: "app", may_name: &["*"] },
    Rule {
        part: "cli",
        may_name: &[
            "app",
            "cli/client",
            "config",
            "domain",
            "mapping",
            "store",
            "sandbox",
            "telemetry",
        ],
    },
    Rule { part: "cli/sandbox", may_name: &["cli", "listen", "sandbox", "telemetry"] },
    // It speaks to the daemon's admin listener by the one client there is.
    Rule {
        part: "cli/client",
        may_name: &["app", "cli", "config", "domain", "store", SEAMS, "connect/http"],
    },
    Rule {
        part: "cli/demo",
        may_name: &["app", "cli", "config", "domain", "sandbox", "connect/*"],
    },
    Rule { part: "main", may_name: &["cli", "cli/*", "telemetry"] },
];

/// A crate, the parts that may name it, and whether the emulators may as well: they are servers of
/// other vendors' protocols that live in our process.
pub(crate) const KEPT_INSIDE: &[(&str, &[&str], Emulators)] = &[
    ("apache_avro", &["connect/salesforce/pubsub"], Emulators::May),
    ("axum", &["ingress", "admin", "listen", "app"], Emulators::May),
    ("backoff", &["sync/retry"], Emulators::MayNot),
    ("clap", &["cli", "main"], Emulators::MayNot),
    ("governor", &["connect/http"], Emulators::MayNot),
    ("hyper", &["listen"], Emulators::May),
    ("hyper_util", &["listen", "connect/salesforce/pubsub"], Emulators::May),
    ("indicatif", &["cli"], Emulators::MayNot),
    ("minijinja", &["mapping/formula", "admin/console"], Emulators::MayNot),
    ("notify", &["app"], Emulators::MayNot),
    ("prometheus_client", &["telemetry"], Emulators::MayNot),
    ("prost", &["connect/salesforce/pubsub"], Emulators::May),
    ("quick_xml", &["connect/salesforce"], Emulators::May),
    ("rcgen", &[], Emulators::May),
    ("reqwest", &["connect/http"], Emulators::May),
    ("rustls_platform_verifier", &["connect/salesforce/pubsub"], Emulators::MayNot),
    ("sled", &["store/sled"], Emulators::MayNot),
    ("tokio_rustls", &["connect/salesforce/pubsub"], Emulators::May),
    ("tonic", &["connect/salesforce/pubsub"], Emulators::May),
    ("tonic_prost", &["connect/salesforce/pubsub"], Emulators::May),
    ("tracing_subscriber", &["telemetry"], Emulators::MayNot),
    ("webpki", &["connect/partner_center"], Emulators::May),
];

/// Whether the emulators may name a crate.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Emulators {
    May,
    MayNot,
}

/// Parts that compute and nothing else.
pub(crate) const PURE: &[&str] = &["domain", "mapping", "merge"];

/// What no pure part may name.
pub(crate) const IMPURE: &[&str] = &[
    "tokio",
    "tokio_util",
    "tracing",
    "std::env",
    "std::fs",
    "std::net",
    "std::process",
    "std::thread",
];

/// Exceptions to the above, each a module and what it may name.
pub(crate) const READS_FILES: (&str, &str) = ("mapping/load", "std::fs");

/// A file has at most this many production lines.
pub(crate) const MOST_LINES: usize = 500;

/// Files that are longer for now, with what they may have. An entry may only shrink, and goes when
/// its file is short enough.
pub(crate) const LONGER: &[(&str, usize)] = &[];
