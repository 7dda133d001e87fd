//! What the admin interface asks for, done with the parts of the program.

use std::sync::Arc;

use async_trait::async_trait;

use super::parts::Parts;
use super::{
    alert, backfill, doctor, gauges, live, live_diff, mapping_budget, mapping_versions, mappings,
    provisioning, relink, secrets, shadow, slot, status, systems,
};
use crate::admin::Admin;
use crate::admin::operations::{
    BackfillProgress, CredentialTest, Finding, Forecast, MappingDiff, MappingPreview, MappingState,
    MappingVersion, MappingView, OperationError, Operations, ParkedField, PreviewSubject,
    ProvisionLine, Queued, ShadowReport, Status, WebhookTest, WebhookView,
};
use crate::connect::partner_center::{KeptToken, RefreshTokenVault};
use crate::domain::audit::AuditKind;
use crate::domain::deal::Deal;
use crate::domain::id::{AccountName, RecordKey};
use crate::domain::secret::SecretString;
use crate::sync::account::Account;

/// The parts as [`Operations`].
struct Desk(Arc<Parts>);

/// What the admin routes work on.
pub(super) fn desk(parts: &Arc<Parts>) -> Arc<Admin> {
    Arc::new(Admin {
        store: Arc::clone(&parts.around.store),
        clock: Arc::clone(&parts.around.clock),
        operations: Arc::new(Desk(Arc::clone(parts))),
    })
}

impl Desk {
    fn account(&self, name: &AccountName) -> Result<&Arc<Account>, OperationError> {
        self.0.account(name).ok_or_else(|| OperationError::NotFound {
            what: format!("There is no account `{name}`."),
            fix: "Name one of the configuration.".to_owned(),
        })
    }
}

#[async_trait]
impl Operations for Desk {
    fn accounts(&self) -> Vec<AccountName> {
        self.0.accounts.iter().map(|account| account.name.clone()).collect()
    }

    fn wake(&self) {
        self.0.wake.notify_one();
    }

    async fn status(&self) -> Result<Status, OperationError> {
        status::in_full(&self.0).await
    }

    async fn metrics(&self) -> String {
        gauges::text(&self.0).await
    }

    async fn reconcile(
        &self,
        account: Option<&AccountName>,
        who: &str,
    ) -> Result<Queued, OperationError> {
        backfill::reconcile(&self.0, account, who).await
    }

    async fn relink(
        &self,
        deal: &Deal,
        record: &RecordKey,
        who: &str,
    ) -> Result<(), OperationError> {
        relink::ask(&self.0, self.account(&deal.account)?, deal, record, who).await
    }

    async fn shadow_report(
        &self,
        account: &AccountName,
        limit: usize,
    ) -> Result<ShadowReport, OperationError> {
        shadow::report(&self.0, self.account(account)?, limit).await
    }

    async fn preview_backfill(&self, account: &AccountName) -> Result<Forecast, OperationError> {
        backfill::forecast(&self.0, self.account(account)?).await
    }

    async fn backfill(
        &self,
        account: &AccountName,
        who: &str,
    ) -> Result<BackfillProgress, OperationError> {
        backfill::begin(&self.0, account, who).await
    }

    async fn backfill_progress(
        &self,
        account: &AccountName,
    ) -> Result<Option<BackfillProgress>, OperationError> {
        backfill::progress(&self.0, account).await
    }

    async fn webhook(&self, account: &AccountName) -> Result<WebhookView, OperationError> {
        slot::look(&self.0, self.account(account)?).await
    }

    async fn register_webhook(
        &self,
        account: &AccountName,
        take_over: bool,
        who: &str,
    ) -> Result<WebhookView, OperationError> {
        slot::register(&self.0, self.account(account)?, take_over, who).await
    }

    async fn test_webhook(&self, account: &AccountName) -> Result<WebhookTest, OperationError> {
        slot::test(&self.0, self.account(account)?).await
    }

    async fn doctor(&self) -> Result<Vec<Finding>, OperationError> {
        Ok(doctor::examine(&self.0).await)
    }

    async fn provision(
        &self,
        account: Option<&AccountName>,
        apply: bool,
        who: &str,
    ) -> Result<Vec<ProvisionLine>, OperationError> {
        provisioning::run(&self.0, account, apply, who).await
    }

    fn parked(&self, account: &AccountName) -> Vec<ParkedField> {
        let account = self.0.account(account);
        account.map(|account| self.0.mappings.state(account).parked).unwrap_or_default()
    }

    fn mappings(&self) -> Vec<MappingView> {
        live::mappings(&self.0)
    }

    async fn preview(
        &self,
        account: &AccountName,
        subject: &PreviewSubject,
    ) -> Result<MappingPreview, OperationError> {
        live::preview(&self.0, self.account(account)?, subject).await
    }

    async fn diff_mappings(
        &self,
        account: &AccountName,
        old: &str,
        new: &str,
        samples: usize,
    ) -> Result<Vec<MappingDiff>, OperationError> {
        live_diff::diff(&self.0, self.account(account)?, old, new, samples).await
    }

    async fn mapping_history(
        &self,
        account: &AccountName,
    ) -> Result<Vec<MappingVersion>, OperationError> {
        mapping_versions::history(&self.0, account).await
    }

    async fn reload_mappings(
        &self,
        account: &AccountName,
        who: &str,
        why: Option<&str>,
        confirmed: Option<&str>,
    ) -> Result<MappingState, OperationError> {
        let account = self.account(account)?;
        let rejected = mappings::reload(&self.0, account, who, why, confirmed).await;
        let restaged = match rejected {
            Some(_) => 0,
            None => mapping_budget::restaged(&self.0, account).await?,
        };
        Ok(MappingState { rejected, restaged, ..self.0.mappings.state(account) })
    }

    async fn roll_back_mappings(
        &self,
        account: &AccountName,
        version: &str,
        who: &str,
        why: Option<&str>,
    ) -> Result<MappingVersion, OperationError> {
        mapping_versions::roll_back(&self.0, self.account(account)?, version, who, why).await
    }

    async fn keep_login(
        &self,
        account: &AccountName,
        token: SecretString,
        who: &str,
    ) -> Result<(), OperationError> {
        let own = self.account(account)?;
        let refused = |what: String| OperationError::Refused {
            what,
            fix: "Set store.encryption_key to a file with 64 hexadecimal digits.".to_owned(),
        };
        let vault = systems::partner_center_vault(&self.0.config, account, &self.0.around);
        let vault = vault.map_err(|error| refused(error.to_string()))?;
        let kept = KeptToken { token, since: self.0.around.clock.now() };
        vault.save(&kept).await.map_err(refused)?;
        let summary = "The sign-in at Partner Center was renewed.".to_owned();
        alert::note(&self.0, account, AuditKind::Configured, who, summary, None).await?;
        secrets::go_on(&self.0, own, "login").await?;
        Ok(())
    }

    async fn test_credential(
        &self,
        account: &AccountName,
        staged: SecretString,
    ) -> Result<CredentialTest, OperationError> {
        self.account(account)?;
        Ok(secrets::test(&self.0, account, &staged).await)
    }
}
