//! What the log needs done while nobody asks it for anything.

use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use crate::db::Kind;
use crate::error::StoreError;
use crate::ledger::{Ledger, Stage};

/// How often denied attempts are written.
const WRITE_EVERY: Duration = Duration::from_secs(5);

/// How often it is seen to that the log has room for the months to come.
const ROOM_EVERY: Duration = Duration::from_hours(12);

/// How far ahead, in milliseconds: longer than a month.
const ROOM_AHEAD: i64 = 35 * 24 * 60 * 60 * 1000;

impl Ledger {
    /// Once the schema is there: writes denied attempts every five seconds, and on PostgreSQL makes the partitions of this month and the next, for
    /// as long as it is polled. What fails is told and tried again.
    pub async fn keep_audit(&self) {
        // A new ledger has no tables yet, and what fails for want of them would be tried again in half a day.
        if self.stage().wait_for(|stage| *stage == Stage::Ready).await.is_err() {
            return;
        }
        let (mut write, mut room) = (interval(WRITE_EVERY), interval(ROOM_EVERY));
        write.set_missed_tick_behavior(MissedTickBehavior::Delay);
        room.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let done = tokio::select! {
                _ = write.tick() => self.write_denied().await.map(drop),
                _ = room.tick() => self.make_room().await,
            };
            if let Err(error) = done {
                tracing::warn!(%error, "the audit log is kept later");
            }
        }
    }

    /// Sees to it that rows of this month and the next have a partition of their own, which can be detached one day.
    pub async fn make_room(&self) -> Result<(), StoreError> {
        if self.kind() == Kind::Sqlite {
            return Ok(());
        }
        let now = jiff::Timestamp::now().as_millisecond();
        let mut session = self.begin_own().await?;
        for at in [now, now + ROOM_AHEAD] {
            let made = sqlx::query("SELECT portcullis_audit_partition($1)").bind(at);
            made.execute(session.connection()).await?;
        }
        session.commit().await
    }
}
