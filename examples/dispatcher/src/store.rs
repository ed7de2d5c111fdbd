//! What must not be lost: records in an embedded store, on disk before anybody is told that they are.

use crate::jobs::Job;
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use serde_json::Value;
use std::path::Path;

/// Keys, and their values as JSON.
const RECORDS: TableDefinition<&str, &str> = TableDefinition::new("records");
/// Jobs that were not done when the service ended, in their order.
const JOBS: TableDefinition<u64, &str> = TableDefinition::new("jobs");

/// What the store may keep of itself in memory.
const CACHE_BYTES: usize = 4 << 20;

pub(crate) struct Store {
    database: Database,
    /// Goes with the store, if nobody asked for it to stay.
    _folder: Option<tempfile::TempDir>,
}

type Stored<T> = Result<T, redb::Error>;

impl Store {
    /// The store in a folder, which is made if there is none; without one, in a folder that goes when the store does. An
    /// error is a line for the user.
    pub(crate) fn open(folder: Option<&Path>) -> Result<Store, String> {
        let temporary = if folder.is_none() {
            Some(tempfile::tempdir().map_err(|why| format!("no temporary folder ({why}): give one with --data"))?)
        } else {
            None
        };
        let path = folder.or(temporary.as_ref().map(|folder| folder.path())).expect("one of them");
        let what = |why: &dyn std::fmt::Display| {
            format!("cannot keep records in {} ({why}): give another folder with --data", path.display())
        };
        std::fs::create_dir_all(path).map_err(|why| what(&why))?;
        let database = Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create(path.join("records.redb"))
            .map_err(|why| what(&why))?;
        make_tables(&database).map_err(|why| what(&why))?;
        Ok(Store { database, _folder: temporary })
    }

    /// Writes all of these records or none of them, and returns when they are on disk.
    pub(crate) fn write(&self, records: &[(String, Value)]) -> Stored<()> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(RECORDS)?;
            for (key, value) in records {
                table.insert(key.as_str(), value.to_string().as_str())?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// A record's value, as JSON.
    pub(crate) fn read(&self, key: &str) -> Stored<Option<String>> {
        let table = self.database.begin_read()?.open_table(RECORDS)?;
        Ok(table.get(key)?.map(|value| value.value().to_owned()))
    }

    pub(crate) fn count(&self) -> Stored<u64> {
        Ok(self.database.begin_read()?.open_table(RECORDS)?.len()?)
    }

    /// Keeps these jobs for the next run, in the place of those that were kept before.
    pub(crate) fn keep_jobs(&self, jobs: &[Job]) -> Stored<()> {
        let transaction = self.database.begin_write()?;
        {
            let mut table = transaction.open_table(JOBS)?;
            table.retain(|_, _| false)?;
            for (number, job) in (0..).zip(jobs) {
                table.insert(number, serde_json::json!(job).to_string().as_str())?;
            }
        }
        Ok(transaction.commit()?)
    }

    /// The jobs that were kept. They stay until others are: after a crash they are done once more rather than never.
    pub(crate) fn kept_jobs(&self) -> Stored<Vec<Job>> {
        let mut jobs = Vec::new();
        for row in self.database.begin_read()?.open_table(JOBS)?.iter()? {
            // What an older program wrote and this one does not know is not done.
            jobs.extend(serde_json::from_str::<Job>(row?.1.value()));
        }
        Ok(jobs)
    }
}

fn make_tables(database: &Database) -> Stored<()> {
    let transaction = database.begin_write()?;
    transaction.open_table(RECORDS)?;
    transaction.open_table(JOBS)?;
    Ok(transaction.commit()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::{Priority, Work};
    use serde_json::json;

    #[test]
    fn records_outlive_the_store() {
        let folder = tempfile::tempdir().unwrap();
        let records = [("a".to_owned(), json!({ "n": 1 })), ("b".to_owned(), json!([]))];
        let store = Store::open(Some(folder.path())).unwrap();
        store.write(&records).unwrap();
        let jobs = [Priority::Low, Priority::High].map(|priority| Job { work: Work::Wait { ms: 7 }, priority });
        store.keep_jobs(&jobs).unwrap();
        drop(store);
        let store = Store::open(Some(folder.path())).unwrap();
        assert_eq!(store.read("a").unwrap().as_deref(), Some("{\"n\":1}"));
        assert_eq!((store.read("c").unwrap(), store.count().unwrap()), (None, 2));
        assert_eq!(store.kept_jobs().unwrap(), jobs);
        store.keep_jobs(&jobs[1..]).unwrap();
        assert_eq!(store.kept_jobs().unwrap(), jobs[1..]);
    }
}
