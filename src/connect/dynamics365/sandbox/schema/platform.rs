//! Tables of the platform itself: webhooks, their steps and failures, solutions, the organisation.

use super::{Column, Kind, Table};

pub(super) fn tables() -> Vec<Table> {
    vec![
        endpoint(),
        step(),
        message(),
        filter(),
        operation(),
        solution(),
        publisher(),
        organization(),
        form(),
    ]
}

fn endpoint() -> Table {
    Table::new(
        "serviceendpoint",
        "serviceendpoints",
        "name",
        vec![
            Column::text("name", 256),
            Column::text("description", 100),
            Column::text("url", 2000),
            Column::text("path", 160),
            Column::text("solutionnamespace", 160),
            Column::text("authvalue", 2048).unreadable(),
            Column::boolean("isauthvalueset").read_only(),
            Column::new("contract", Kind::Integer(1, 9)),
            Column::new("authtype", Kind::Integer(1, 9)),
            Column::new("messageformat", Kind::Integer(1, 3)),
            Column::new("connectionmode", Kind::Integer(1, 2)),
            Column::new("userclaim", Kind::Integer(1, 3)),
        ],
    )
    .with_collection(
        "serviceendpoint_sdkmessageprocessingstep",
        "sdkmessageprocessingstep",
        "eventhandler",
    )
}

fn step() -> Table {
    Table::new(
        "sdkmessageprocessingstep",
        "sdkmessageprocessingsteps",
        "name",
        vec![
            Column::text("name", 256),
            Column::text("description", 256),
            Column::new("stage", Kind::Integer(5, 90)).required(),
            Column::new("mode", Kind::Integer(0, 1)).required(),
            Column::new("rank", Kind::Integer(0, i64::from(i32::MAX))),
            Column::new("supporteddeployment", Kind::Integer(0, 2)),
            Column::boolean("asyncautodelete"),
            Column::new("filteringattributes", Kind::Memo(100_000)),
            Column::lookup("eventhandler", &[("serviceendpoint", "eventhandler_serviceendpoint")])
                .required(),
            Column::lookup("sdkmessageid", &[("sdkmessage", "sdkmessageid")]).required(),
            Column::lookup("sdkmessagefilterid", &[("sdkmessagefilter", "sdkmessagefilterid")]),
            Column::state(&[(0, "Enabled"), (1, "Disabled")]),
            Column::status(&[(1, "Enabled", 0), (2, "Disabled", 1)]),
        ],
    )
}

fn message() -> Table {
    let columns = vec![Column::text("name", 256)];
    Table::new("sdkmessage", "sdkmessages", "name", columns)
}

fn filter() -> Table {
    Table::new(
        "sdkmessagefilter",
        "sdkmessagefilters",
        "name",
        vec![
            Column::text("name", 256),
            Column::text("primaryobjecttypecode", 64),
            Column::lookup("sdkmessageid", &[("sdkmessage", "sdkmessageid")]),
            Column::boolean("iscustomprocessingstepallowed"),
        ],
    )
}

fn operation() -> Table {
    Table::new(
        "asyncoperation",
        "asyncoperations",
        "name",
        vec![
            Column::text("name", 256),
            Column::text("messagename", 160),
            Column::new("message", Kind::Memo(100_000)),
            Column::text("correlationid", 36),
            Column::lookup(
                "owningextensionid",
                &[("sdkmessageprocessingstep", "owningextensionid")],
            ),
            Column::state(&[(0, "Ready"), (1, "Suspended"), (2, "Locked"), (3, "Completed")]),
            Column::status(&[
                (0, "Waiting For Resources", 0),
                (30, "Succeeded", 3),
                (31, "Failed", 3),
            ]),
        ],
    )
}

fn solution() -> Table {
    Table::new(
        "solution",
        "solutions",
        "uniquename",
        vec![
            Column::text("uniquename", 65),
            Column::text("friendlyname", 256),
            Column::text("version", 256),
            Column::boolean("ismanaged").read_only(),
            Column::lookup("publisherid", &[("publisher", "publisherid")]).required(),
        ],
    )
}

fn publisher() -> Table {
    Table::new(
        "publisher",
        "publishers",
        "uniquename",
        vec![
            Column::text("uniquename", 256),
            Column::text("friendlyname", 256),
            Column::text("customizationprefix", 8),
            Column::new("customizationoptionvalueprefix", Kind::Integer(10_000, 99_999)),
        ],
    )
}

fn form() -> Table {
    Table::new(
        "systemform",
        "systemforms",
        "name",
        vec![
            Column::text("name", 100),
            Column::text("objecttypecode", 64).create_only(),
            Column::choice("type", &[(0, "Dashboard"), (2, "Main"), (6, "Quick View Form")])
                .create_only(),
            Column::new("formxml", Kind::Memo(1_073_741_823)),
        ],
    )
}

fn organization() -> Table {
    Table::new(
        "organization",
        "organizations",
        "name",
        vec![
            Column::text("name", 160),
            Column::new("languagecode", Kind::Integer(0, i64::from(i32::MAX))),
            Column::new("expirechangetrackingindays", Kind::Integer(0, 365)),
        ],
    )
}
