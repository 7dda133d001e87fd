//! The HTTP surface: transport, and one file per resource.

mod batch;
mod call;
mod collections;
mod composite;
mod conditions;
mod data;
mod graph;
mod query;
mod replication;
mod resources;
mod rows;
mod tooling;
mod transport;
mod upsert;

pub(crate) use call::{Answer, Call, Content};
pub(crate) use data::dispatch;
pub(crate) use transport::router;
