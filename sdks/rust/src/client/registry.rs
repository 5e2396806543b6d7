//! The local address book: which agent is served at which port of this machine (docs/wire.md, local registry).
//!
//! One row is read. SQLite itself reads it, for the file is written meanwhile, by servers and in WAL mode: whatever
//! parses the file without its locks and its log would find torn pages, and old addresses.

use std::path::{Path, PathBuf};

use crate::error::{Reason, RunAgentError};

/// Returns where the agent is served, as the registry says.
pub(crate) fn find(
    agent_id: &str,
    environment: impl Fn(&str) -> Option<String>,
) -> Result<(String, u16), RunAgentError> {
    if agent_id.is_empty() {
        return Err(RunAgentError::of_field("agent_id", "Name the agent to look up on this machine."));
    }
    let row = match path(environment) {
        Some(path) if path.exists() => read(&path, agent_id)?,
        _ => None,
    };
    match row {
        Some(Row { status: Some(status), .. }) if status == "stopped" => Err(RunAgentError::new(
            Reason::ConnectionError,
            format!("Agent `{agent_id}` is not running; its server was stopped."),
        )
        .with_suggestion("Start it again with `runagent serve PATH`.")),
        Some(row) => Ok((connectable(&row.host), row.port)),
        None => {
            Err(RunAgentError::new(Reason::AgentNotFound, format!("Agent `{agent_id}` is not served on this machine."))
                .with_suggestion("Serve it with `runagent serve PATH`, or give host and port."))
        }
    }
}

struct Row {
    host: String,
    port: u16,
    status: Option<String>,
}

fn path(environment: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let folder = match environment("RUNAGENT_CACHE_DIR").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => std::env::home_dir().filter(|home| !home.as_os_str().is_empty())?.join(".runagent"),
    };
    Some(folder.join("runagent_local.db"))
}

/// A server may listen on every address; nobody can connect to that.
fn connectable(host: &str) -> String {
    match host {
        "0.0.0.0" | "" => "127.0.0.1".to_owned(),
        "::" | "[::]" => "::1".to_owned(),
        _ => host.trim_matches(['[', ']']).to_owned(),
    }
}

#[cfg(feature = "local")]
fn read(path: &Path, agent_id: &str) -> Result<Option<Row>, RunAgentError> {
    use rusqlite::{Connection, OpenFlags};

    let find = || -> rusqlite::Result<Option<Row>> {
        // Writable, for a reader of a file in WAL mode has to take part in its locking.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let file = Connection::open_with_flags(path, flags)?;
        file.busy_timeout(std::time::Duration::from_secs(10))?;
        let columns: Vec<String> = file
            .prepare("SELECT name FROM pragma_table_info('agents')")?
            .query_map([], |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?;
        if columns.is_empty() {
            return Ok(None);
        }
        // Published packages made tables with other columns.
        let status = if columns.iter().any(|name| name == "status") { "status" } else { "NULL" };
        let mut rows = file.prepare(&format!("SELECT host, port, {status} FROM agents WHERE agent_id = ?"))?;
        let mut rows = rows.query([agent_id])?;
        rows.next()?.map(|row| Ok(Row { host: row.get(0)?, port: row.get(1)?, status: row.get(2)? })).transpose()
    };
    find().map_err(|problem| {
        RunAgentError::new(
            Reason::InternalError,
            "The registry of local agents, runagent_local.db in RUNAGENT_CACHE_DIR (by default ~/.runagent), cannot be \
             used.",
        )
        .with_suggestion("Make sure that this user can read and write it, and that it is a SQLite database.")
        .with_details(problem.to_string())
    })
}

#[cfg(not(feature = "local"))]
fn read(_: &Path, _: &str) -> Result<Option<Row>, RunAgentError> {
    Err(RunAgentError::of_field(
        "local",
        "This build has no registry; build it with the feature `local`, or give host and port.",
    ))
}

#[cfg(all(test, feature = "local"))]
mod tests {
    use super::*;
    use rusqlite::Connection;

    /// A folder for a test's registry, gone with the test.
    struct Folder(PathBuf);

    impl Folder {
        fn new() -> Self {
            let folder = std::env::temp_dir().join(format!("runagent-{}", uuid::Uuid::new_v4()));
            std::fs::create_dir(&folder).unwrap();
            Self(folder)
        }

        fn write(&self, sql: &str) {
            let file = Connection::open(self.0.join("runagent_local.db")).unwrap();
            file.execute_batch(sql).unwrap();
        }

        fn find(&self, agent_id: &str) -> Result<(String, u16), RunAgentError> {
            find(agent_id, |_| Some(self.0.to_str().unwrap().to_owned()))
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_row_is_found_by_its_agent_whatever_columns_the_table_has() {
        let folder = Folder::new();
        folder.write(
            "PRAGMA journal_mode = WAL; CREATE TABLE agents (agent_id TEXT PRIMARY KEY, host TEXT, port INTEGER);
             INSERT INTO agents VALUES ('a', '0.0.0.0', 8450), ('b', 'localhost', 8451);",
        );
        assert_eq!(folder.find("a").unwrap(), ("127.0.0.1".to_owned(), 8450));
        assert_eq!(folder.find("b").unwrap(), ("localhost".to_owned(), 8451));
        assert_eq!(folder.find("c").unwrap_err().reason(), Reason::AgentNotFound);
    }

    #[test]
    fn an_agent_whose_server_was_stopped_is_told_apart_from_one_that_is_unknown() {
        let folder = Folder::new();
        folder.write(
            "CREATE TABLE agents (agent_id TEXT, host TEXT, port INTEGER, status TEXT);
             INSERT INTO agents VALUES ('a', 'localhost', 8450, 'stopped');",
        );
        assert_eq!(folder.find("a").unwrap_err().reason(), Reason::ConnectionError);
    }

    #[test]
    fn a_machine_without_a_registry_serves_nothing_and_none_is_made() {
        let folder = Folder::new();
        assert_eq!(folder.find("a").unwrap_err().reason(), Reason::AgentNotFound);
        assert!(std::fs::read_dir(&folder.0).unwrap().next().is_none());
    }

    #[test]
    fn a_file_that_is_no_database_is_said_to_be_the_trouble() {
        let folder = Folder::new();
        std::fs::write(folder.0.join("runagent_local.db"), "nonsense".repeat(200)).unwrap();
        let error = folder.find("a").unwrap_err();
        assert!(error.message().contains("runagent_local.db"), "{error}");
    }
}
