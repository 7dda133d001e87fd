//! Random schedules of a person and the client on one record, by the millisecond: whenever a write
//! of ours succeeds, it was made against exactly what we had read.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cosell_sync::connect::crm::Crm;
use cosell_sync::connect::error::ConnectError;
use cosell_sync::domain::id::RecordId;
use serde_json::{Value as Json, json};

use crate::crm_laws::Harness;
use crate::support::{World, fields};

/// A small generator; the seed is in the failure message.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % sides
    }
}

/// What is to happen when our next write arrives, and what the record held then.
#[derive(Default)]
struct Watch {
    armed: bool,
    late: Option<Json>,
    found: Option<Json>,
}

struct Schedule {
    world: World,
    id: RecordId,
    dice: Dice,
    edits: u64,
    watch: Arc<Mutex<Watch>>,
}

impl Schedule {
    /// Time passes, often less than a second.
    fn tick(&mut self) {
        let millis = [0, 1, 300, 700, 999, 1000, 2500][self.dice.throw(7) as usize];
        self.world.clock.advance(Duration::from_millis(millis));
    }

    fn edit(&mut self) -> Json {
        self.edits += 1;
        json!({ "Description": format!("edit {}", self.edits) })
    }

    /// A person edits, perhaps.
    fn person(&mut self) {
        if self.dice.throw(2) == 0 {
            let edit = self.edit();
            self.world
                .sandbox
                .edit_as_person("Opportunity", self.id.as_str(), &edit)
                .expect("an edit");
        }
    }

    /// A write that is never sent leaves the watch armed for the next one.
    fn watch_next_write(&self, late: Option<Json>) {
        let mut watch = self.watch.lock().expect("the watch");
        (watch.late, watch.found) = (late, None);
        if std::mem::replace(&mut watch.armed, true) {
            return;
        }
        let (watch, id) = (self.watch.clone(), self.id.clone());
        self.world.sandbox.before_next_write(move |org| {
            let mut watch = watch.lock().expect("the watch");
            if let Some(edit) = watch.late.take() {
                org.edit_as_person("Opportunity", id.as_str(), &edit).expect("an edit");
            }
            let row = org.row("Opportunity", id.as_str()).expect("the row");
            watch.found = Some(row["Description"].clone());
            watch.armed = false;
        });
    }

    /// One read and one write of ours, with people in between; says whether the write succeeded.
    async fn round(&mut self) -> bool {
        let record = self.world.read(&self.id).await;
        self.tick();
        self.person();
        self.tick();
        let late = (self.dice.throw(4) == 0).then(|| self.edit());
        self.watch_next_write(late);
        let ours = self.edit();
        let shape = self.world.shape();
        let written =
            self.world.client.update(&record, &record.version, &fields(&ours), &shape).await;
        match written {
            Ok(_) => {
                let found = self.watch.lock().expect("the watch").found.take();
                assert_eq!(found, Some(record.fields["Description"].clone()), "an edit was lost");
                true
            }
            Err(ConnectError::Stale) => false,
            Err(other) => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn no_schedule_loses_an_edit() {
    let (mut succeeded, mut refused) = (0, 0);
    for seed in 0..60 {
        let world = World::plain().await;
        let id = world.seed(&json!({ "Description": "edit 0" }));
        let mut schedule =
            Schedule { world, id, dice: Dice(seed), edits: 0, watch: Arc::default() };
        for _ in 0..6 {
            schedule.tick();
            schedule.person();
            match schedule.round().await {
                true => succeeded += 1,
                false => refused += 1,
            }
        }
    }
    assert!(succeeded > 50 && refused > 50, "{succeeded} succeeded, {refused} were refused");
}
