//! provision placeholder
use super::Salesforce;
use crate::connect::crm::{Provision, ProvisionStep};
use crate::connect::error::ConnectError;
impl Salesforce { pub(super) async fn make_fields(&self, _w:&Provision, _d: bool) -> Result<Vec<ProvisionStep>, ConnectError> { Ok(vec![]) } }
