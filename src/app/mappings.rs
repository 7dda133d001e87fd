//! Mapping files while the program runs: a good change is in use at once, a bad one is refused and
//! the old stays. Which versions were in use is kept in [`super::mapping_versions`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::{RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::alert;
use super::mapping_budget::{NotUsed, restaged, weigh};
use super::mapping_start::Begun;
use super::mapping_versions::{Files, give_reason, record, version};
use super::parts::Parts;
use super::schema::{current, fitted, look_again, use_fitted};
use crate::admin::operations::{MappingState, ParkedField};
use crate::domain::id::{AccountName, CrmName, RecordKind};
use crate::domain::time::Timestamp;
use crate::mapping::rule::ParkedRow;
use crate::mapping::{Mapping, MappingFolder, run_cases};
use crate::sync::account::{Account, CrmPart};

/// Changes that follow one another this closely are one change.
const SETTLE: Duration = Duration::from_millis(300);
/// The files are compared this often even if the system tells of no change.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// What changed files would write, and whether the live schema allows them, is asked again after this
/// time where it could not be told: it costs many reads of a system that may be in trouble.
const ASK_AGAIN: Duration = Duration::from_secs(300);
/// Who changed the mappings if the files did.
const WATCHER: &str = "files";

/// What is in use, per account.
#[derive(Default)]
pub(super) struct MappingFiles {
    in_use: Mutex<BTreeMap<AccountName, InUse>>,
    /// Held while files are taken into use: one change after another.
    pub(super) turn: tokio::sync::Mutex<()>,
}

#[derive(Clone, Default)]
struct InUse {
    files: Files,
    /// What the files say, whatever the CRMs have.
    whole: Vec<Arc<Mapping>>,
    rejected: Option<String>,
    /// The CRMs that lack what nothing of the files in use works without, and what that is.
    lacking: BTreeMap<CrmName, String>,
    /// The files on the disk, if they only wait for a person's word.
    waiting: Option<Files>,
    /// The files on the disk, if what they write could not be told, or the live schema did not allow
    /// them, and when that was.
    untold: Option<(Files, Timestamp)>,
    /// What was told of each CRM: its parked rows, and when it was looked at.
    told: BTreeMap<CrmName, (Vec<ParkedRow>, Timestamp)>,
}

impl MappingFiles {
    /// Whether the files on the disk are in use, and what of them is not.
    pub(super) fn state(&self, account: &Account) -> MappingState {
        let own = self.in_use(&account.name);
        let mut fields = Vec::new();
        for part in &account.crms {
            for mapping in current(part) {
                let (crm, kind) = (part.name(), mapping.kind());
                let rows = mapping.parked().iter().cloned();
                fields.extend(rows.map(|row| ParkedField { crm, kind, row }));
            }
        }
        MappingState {
            version: version(&own.files),
            rejected: own.rejected,
            parked: fields,
            restaged: 0,
        }
    }

    /// The texts of the files in use.
    pub(super) fn files(&self, account: &AccountName) -> Files {
        self.in_use(account).files
    }

    /// What the files in use say for one CRM, whatever it has.
    pub(super) fn whole(&self, account: &AccountName, crm: CrmName) -> Vec<Arc<Mapping>> {
        let own = self.in_use(account).whole.into_iter();
        own.filter(|mapping| mapping.crm() == crm).collect()
    }

    /// Says why the files are not in use, in the log too if that is new.
    pub(super) fn reject(&self, account: &AccountName, why: &str) {
        if self.in_use(account).rejected.as_deref() != Some(why) {
            tracing::error!(account = %account, "The mapping files are not used: {why}");
        }
        self.change(account, |own| {
            own.rejected = Some(why.to_owned());
            own.waiting = None;
            own.untold = None;
        });
    }

    /// Says that a CRM lacks what nothing of the files in use works without. Why other files are not
    /// used stays told, and so does what they wait for.
    pub(super) fn lacks(&self, account: &AccountName, crm: CrmName, why: &str) {
        let before = self.in_use(account);
        let known = before.lacking.get(&crm);
        if known.is_none_or(|known| known != why) {
            tracing::error!(account = %account, "The mapping files cannot be used: {why}");
        }
        let is_free = before.rejected.is_none() || before.rejected.as_ref() == known;
        self.change(account, |own| {
            own.lacking.insert(crm, why.to_owned());
            if is_free {
                own.rejected = Some(why.to_owned());
            }
        });
    }

    /// Says that a CRM has everything that nothing works without; nothing else is forgotten by that.
    pub(super) fn lacks_nothing(&self, account: &AccountName, crm: CrmName) {
        self.change(account, |own| {
            let Some(why) = own.lacking.remove(&crm) else { return };
            if own.rejected.as_ref() == Some(&why) {
                own.rejected = own.lacking.values().next().cloned();
                own.untold = None;
            }
        });
    }

    /// Remembers the files that an account begins with, and returns what they say.
    pub(super) fn begin_with(&self, account: &AccountName, begun: Begun) -> Vec<Arc<Mapping>> {
        let whole = begun.whole.clone();
        self.change(account, |own| {
            *own = InUse { files: begun.files, whole: begun.whole, ..InUse::default() };
        });
        if let Some(why) = begun.rejected {
            self.reject(account, &why);
        }
        whole
    }

    /// The rows of a CRM that were told to be parked.
    pub(super) fn told(&self, account: &AccountName, crm: CrmName) -> Vec<ParkedRow> {
        self.in_use(account).told.remove(&crm).map(|(rows, _)| rows).unwrap_or_default()
    }

    /// When a CRM was last looked at.
    pub(super) fn looked(&self, account: &AccountName, crm: CrmName) -> Option<Timestamp> {
        self.in_use(account).told.get(&crm).map(|(_, at)| *at)
    }

    /// Remembers what was told of a CRM.
    pub(super) fn tell(
        &self,
        account: &AccountName,
        crm: CrmName,
        rows: Vec<ParkedRow>,
        at: Timestamp,
    ) {
        self.change(account, |own| drop(own.told.insert(crm, (rows, at))));
    }

    fn in_use(&self, account: &AccountName) -> InUse {
        let all = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(account).cloned().unwrap_or_default()
    }

    fn change(&self, account: &AccountName, change: impl FnOnce(&mut InUse)) {
        let mut all = self.in_use.lock().unwrap_or_else(PoisonError::into_inner);
        change(all.entry(account.clone()).or_default());
    }
}

/// The folder of an account's mapping files.
pub(super) fn folder(parts: &Parts, account: &AccountName) -> Option<PathBuf> {
    parts.settings(account).map(|own| parts.config.path(&own.sync.mappings))
}

/// Watches the folders of all accounts until `stop`.
pub(super) async fn watch(parts: Arc<Parts>, stop: CancellationToken) {
    let (tell, mut told) = mpsc::channel(1);
    let watcher = notify::recommended_watcher(move |_| {
        // A full channel already tells that something changed.
        let _ = tell.try_send(());
    });
    let mut watcher = watcher
        .inspect_err(|error| tracing::warn!("Folders cannot be watched, only looked at: {error}"))
        .ok();
    for account in &parts.accounts {
        let files = parts.mappings.files(&account.name);
        if let Err(error) = record(&parts, &account.name, files, "start", None).await {
            tracing::error!("The mapping version could not be kept: {error}");
        }
        let folder = folder(&parts, &account.name);
        if let (Some(watcher), Some(folder)) = (&mut watcher, folder)
            && let Err(error) = watcher.watch(&folder, RecursiveMode::NonRecursive)
        {
            tracing::warn!("{} cannot be watched, only looked at: {error}", folder.display());
        }
    }
    loop {
        tokio::select! {
            Some(()) = told.recv() => {
                parts.around.clock.sleep(SETTLE).await;
                while told.try_recv().is_ok() {}
            }
            () = parts.around.clock.sleep(LOOK_EVERY) => {}
            () = stop.cancelled() => return,
        }
        for account in &parts.accounts {
            reload(&parts, account, WATCHER, None, None).await;
            look_again(&parts, account).await;
        }
    }
}

/// Says in the log how many records the files in use read in another stage than before.
async fn warn_of_restaged(parts: &Parts, account: &Account) {
    match restaged(parts, account).await {
        Ok(0) => {}
        Ok(records) => tracing::warn!(
            account = %account.name, records,
            "The mapping files read records in another stage; nothing is sent for that"
        ),
        Err(error) => tracing::error!("The stages could not be counted: {error}"),
    }
}

/// Uses the files on the disk if they changed and are good; tells why they are not in use otherwise.
/// `why` is the reason that a person gives for the change, `confirmed` the version that one wants
/// whatever it writes.
pub(super) async fn reload(
    parts: &Parts,
    account: &Account,
    who: &str,
    why: Option<&str>,
    confirmed: Option<&str>,
) -> Option<String> {
    let _turn = parts.mappings.turn.lock().await;
    reload_in_turn(parts, account, who, why, confirmed).await
}

/// As [`reload`], for whoever holds the turn.
pub(super) async fn reload_in_turn(
    parts: &Parts,
    account: &Account,
    who: &str,
    why: Option<&str>,
    confirmed: Option<&str>,
) -> Option<String> {
    let folder = folder(parts, &account.name)?;
    let before = parts.mappings.in_use(&account.name);
    let read = tokio::task::spawn_blocking(move || MappingFolder::read(&folder)).await;
    let result = match read {
        Err(error) => Err(error.to_string().into()),
        Ok(Err(problems)) => Err(problems.to_string().into()),
        // Asked for by a person, the live schema is compared again too: `provision` may have made
        // fields.
        Ok(Ok(read)) if who == WATCHER && is_same(&read, &before, parts.around.clock.now()) => {
            return before.rejected;
        }
        Ok(Ok(read)) => match confirmed.filter(|wanted| version(&read.texts()) != **wanted) {
            Some(wanted) => {
                let now = version(&read.texts());
                return Some(format!("the files are version {now} now, not {wanted}"));
            }
            None => {
                let same = read.texts() == before.files;
                let reason = why.filter(|_| !same);
                let used =
                    use_files(parts, account, read, confirmed.is_some(), (who, reason)).await;
                used.map(|files| (files, same))
            }
        },
    };
    match result {
        Ok((files, same)) => {
            account.name_mappings(&version(&files));
            parts.mappings.change(&account.name, |own| own.files = files);
            if let Some(why) = why.filter(|_| same)
                && let Err(error) = give_reason(parts, &account.name, who, why).await
            {
                tracing::error!("Why the mapping files were changed could not be kept: {error}");
            }
            warn_of_restaged(parts, account).await;
            None
        }
        Err(NotUsed::Refused(why)) => {
            parts.mappings.reject(&account.name, &why);
            Some(why)
        }
        Err(NotUsed::Waiting(why, files)) => {
            parts.mappings.reject(&account.name, &why);
            parts.mappings.change(&account.name, |own| own.waiting = Some(files));
            Some(why)
        }
        Err(NotUsed::Untold(why, files)) => {
            let now = parts.around.clock.now();
            parts.mappings.reject(&account.name, &why);
            parts.mappings.change(&account.name, |own| own.untold = Some((files, now)));
            Some(why)
        }
    }
}

/// Whether nothing is to be done: the files are those in use, and were not refused, or they wait for
/// a person, or it is too early to ask again what they would write.
fn is_same(read: &MappingFolder, before: &InUse, now: Timestamp) -> bool {
    let files = read.texts();
    let used = files == before.files && before.rejected.is_none();
    let is_early = |at: Timestamp| now >= at && now.since(at) < ASK_AGAIN;
    let untold = before.untold.as_ref().is_some_and(|(same, at)| *same == files && is_early(*at));
    read.is_whole() && (used || untold || before.waiting.as_ref() == Some(&files))
}

/// Compiles the files, runs their cases, compares them with the live schema and uses them. They are
/// kept as a version before: after a crash in between, nobody is asked about them again.
async fn use_files(
    parts: &Parts,
    account: &Account,
    read: MappingFolder,
    confirmed: bool,
    (who, why): (&str, Option<&str>),
) -> Result<Files, NotUsed> {
    let files = read.texts();
    let compiled = tokio::task::spawn_blocking(move || compiled(&read)).await;
    let mappings = compiled.map_err(|error| error.to_string())??;
    let mut ready = Vec::new();
    for part in &account.crms {
        let own: Vec<_> =
            mappings.iter().filter(|mapping| mapping.crm() == part.name()).cloned().collect();
        still_mapped(parts, account, part, &own)?;
        // It costs calls of the CRM's daily quota, so it is not asked again with every look.
        let fitted = fitted(part, own).await;
        let fitted =
            fitted.map_err(|unfit| NotUsed::Untold(unreadable(part, &unfit), files.clone()))?;
        ready.push((part, fitted));
    }
    if !confirmed {
        weigh(parts, account, &files, &mappings, &ready).await?;
    }
    let gained: Vec<String> = ready.iter().flat_map(|(part, own)| gained(part, own)).collect();
    record(parts, &account.name, files.clone(), who, why).await?;
    // All or nothing: every part is ready before the first is replaced.
    parts.mappings.change(&account.name, |own| {
        own.whole = mappings;
        own.rejected = None;
        own.lacking.clear();
        own.waiting = None;
        own.untold = None;
    });
    for (part, own) in ready {
        use_fitted(parts, account, part, own).await;
        part.be_ready();
    }
    for line in gained {
        alert::raise(parts, &account.name, &line).await;
    }
    Ok(files)
}

fn unreadable(part: &CrmPart, unfit: &super::schema::Unfit) -> String {
    match unfit {
        super::schema::Unfit::Lacking(why) => why.clone(),
        super::schema::Unfit::Unreachable(fault) => {
            format!("the schema of {} cannot be read now: {fault}", part.name().title())
        }
    }
}

/// Refuses files that no longer map what is kept in step: a file that was deleted by mistake would
/// stop its deals without a word.
fn still_mapped(
    parts: &Parts,
    account: &Account,
    part: &CrmPart,
    own: &[Arc<Mapping>],
) -> Result<(), String> {
    let kinds: Vec<RecordKind> = own.iter().map(|mapping| mapping.kind()).collect();
    for old in current(part) {
        if !kinds.contains(&old.kind()) {
            return Err(format!(
                "{} is gone, and no other file maps the {} of {}, which is kept in step; put it \
                 back (`{}`), or restart the daemon to let it go",
                old.file(),
                old.kind(),
                part.name().title(),
                parts.command(&account.name, "mapping rollback VERSION"),
            ));
        }
    }
    Ok(())
}

/// Kinds of record that were not mapped before: their feeds begin with the next start.
fn gained(part: &CrmPart, own: &[Arc<Mapping>]) -> Vec<String> {
    let before = part.kinds();
    let new = own.iter().filter(|mapping| !before.contains(&mapping.kind()));
    new.map(|mapping| {
        let (file, kind, crm) = (mapping.file(), mapping.kind(), part.name().title());
        format!(
            "{file} maps the {kind} of {crm} for the first time: restart the daemon to read it."
        )
    })
    .collect()
}

/// The mappings of a folder, if they compile and every case holds; else every problem.
pub(super) fn compiled(read: &MappingFolder) -> Result<Vec<Arc<Mapping>>, String> {
    let mappings = read.compile().map_err(|problems| problems.to_string())?;
    let reports: Vec<_> = mappings.iter().map(run_cases).collect();
    let failed = reports.iter().flat_map(|report| &report.outcomes);
    let failed: Vec<String> =
        failed.flat_map(|outcome| &outcome.problems).map(ToString::to_string).collect();
    if failed.is_empty() {
        Ok(mappings.into_iter().map(Arc::new).collect())
    } else {
        Err(failed.join("\n\n"))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{InUse, MappingFiles, MappingFolder, is_same};
    use crate::app::mapping_versions::Files;
    use crate::domain::id::{AccountName, CrmName};
    use crate::domain::time::Timestamp;

    #[test]
    fn what_could_not_be_told_is_asked_again_after_a_while_only() {
        let files = |text: &str| Files::from([("a.toml".to_owned(), text.to_owned())]);
        let asked = Timestamp::parse("2026-06-01T12:00:00Z").expect("an instant");
        let before = InUse {
            files: files("the old ones"),
            rejected: Some("it cannot be told".to_owned()),
            untold: Some((files("the new ones"), asked)),
            ..InUse::default()
        };
        let later = |secs| asked.plus(Duration::from_secs(secs));
        let table = [
            ("the new ones", later(10), true, "the next look"),
            ("the new ones", later(299), true, "a second too early"),
            ("the new ones", later(300), false, "it is time"),
            ("the new ones", asked.minus(Duration::from_secs(9)), false, "a clock set back"),
            ("newer ones", later(10), false, "somebody changed them again"),
        ];
        for (text, now, expected, why) in table {
            let read = MappingFolder::of("a folder", &files(text));
            assert_eq!(is_same(&read, &before, now), expected, "{why}");
        }
    }

    #[test]
    fn a_crm_that_lacks_something_makes_nobody_forget_what_the_files_wait_for() {
        let account = AccountName::new("contoso");
        let waiting = Files::from([("a.toml".to_owned(), "the new ones".to_owned())]);
        let known = MappingFiles::default();
        let rejected = || known.in_use(&account).rejected;
        known.reject(&account, "they would write many records");
        known.change(&account, |own| own.waiting = Some(waiting.clone()));
        known.lacks(&account, CrmName::Salesforce, "a field");
        assert_eq!(known.in_use(&account).waiting, Some(waiting), "they still wait");
        assert_eq!(rejected().as_deref(), Some("they would write many records"));
        known.lacks_nothing(&account, CrmName::Salesforce);
        assert_eq!(rejected().as_deref(), Some("they would write many records"));

        known.change(&account, |own| *own = InUse::default());
        known.lacks(&account, CrmName::Salesforce, "a field");
        known.lacks(&account, CrmName::Salesforce, "another field");
        known.lacks(&account, CrmName::Dynamics365, "a column");
        assert_eq!(rejected().as_deref(), Some("another field"), "the first is told");
        known.lacks_nothing(&account, CrmName::Salesforce);
        assert_eq!(rejected().as_deref(), Some("a column"), "the other still lacks one");
        known.lacks_nothing(&account, CrmName::Dynamics365);
        assert_eq!(rejected(), None);
    }
}
