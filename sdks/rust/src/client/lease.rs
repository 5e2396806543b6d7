//! Leases: what each running server says of itself, in one file, to clients on the same machine (docs/wire.md, leases).
//!
//! A client sends its key where a lease leads. So a file or a folder that another user owns, or can write to, is never
//! read. Whether the server of a lease lives is `local.rs`'s to know.

use std::fs::{self, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

/// Changes when a reader of the old format would misunderstand the new one. New fields alone do not change it.
const FORMAT_VERSION: u64 = 1;

const MAX_BYTES: u64 = 1024 * 1024;
const TIME_FORMAT: &[u8] = b"dddd-dd-ddTdd:dd:dd.ddddddZ";

/// A server, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Lease {
    pub(crate) instance_id: String,
    pub(crate) pid: u64,
    /// UTC, always of the same length, so that it sorts as text.
    started_at: String,
    pub(crate) host: String,
    pub(crate) http_port: Option<u16>,
    pub(crate) grpc_port: Option<u16>,
    pub(crate) tls: bool,
    pub(crate) agents: Vec<LeasedAgent>,
}

/// An agent that a server serves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LeasedAgent {
    pub(crate) agent_id: String,
    /// The agent's folder; empty where the lease does not say.
    pub(crate) agent_path: String,
}

impl Lease {
    /// The port that the server is asked at: that of HTTP, where there is one.
    pub(crate) fn port(&self) -> u16 {
        self.http_port.or(self.grpc_port).unwrap_or_default()
    }

    pub(crate) fn agent(&self, agent_id: &str) -> Option<&LeasedAgent> {
        self.agents.iter().find(|agent| agent.agent_id == agent_id)
    }

    /// Reads the text of a lease's file. A failure's text follows the file's path in a sentence.
    fn parse(text: &[u8]) -> Result<Self, String> {
        let fields: Json = serde_json::from_slice(text).map_err(|_| "is not JSON")?;
        if !fields.is_object() {
            return Err("is not a JSON object".into());
        }
        let version = fields["format_version"].as_u64().filter(|version| *version > 0);
        let version = version.ok_or("has no valid `format_version`")?;
        if version > FORMAT_VERSION {
            return Err(format!("has format version {version}, newer than this client reads; upgrade the client"));
        }
        let lease = Self {
            instance_id: text_in(&fields, "instance_id", is_instance_id)?,
            pid: fields["pid"].as_u64().filter(|pid| *pid > 0).ok_or("has no valid `pid`")?,
            started_at: text_in(&fields, "started_at", is_time)?,
            host: text_in(&fields, "host", is_host)?,
            http_port: port_in(&fields, "http_port")?,
            grpc_port: port_in(&fields, "grpc_port")?,
            tls: match &fields["tls"] {
                Json::Null => false,
                tls => tls.as_bool().ok_or("has no valid `tls`")?,
            },
            agents: fields["agents"]
                .as_array()
                .ok_or("has no list of `agents`")?
                .iter()
                .map(LeasedAgent::parse)
                .collect::<Result<_, _>>()?,
        };
        if lease.http_port.is_none() && lease.grpc_port.is_none() {
            return Err("has neither `http_port` nor `grpc_port`".into());
        }
        Ok(lease)
    }
}

impl LeasedAgent {
    fn parse(fields: &Json) -> Result<Self, String> {
        let agent_id =
            fields["agent_id"].as_str().filter(|id| !id.is_empty()).ok_or("has an agent without `agent_id`")?;
        let agent_path = match &fields["agent_path"] {
            Json::Null => "",
            path => path.as_str().ok_or("has no valid `agent_path`")?,
        };
        Ok(Self { agent_id: agent_id.to_owned(), agent_path: agent_path.to_owned() })
    }
}

/// What a folder holds.
#[derive(Debug, Default)]
pub(crate) struct LeaseReading {
    /// Those that can be trusted, the server that started last first.
    pub(crate) leases: Vec<Lease>,
    /// A sentence on each file that was ignored.
    pub(crate) ignored: Vec<String>,
}

/// Returns where the leases are: `servers` in `$RUNAGENT_CACHE_DIR`, by default in `~/.runagent`.
pub(crate) fn folder(environment: impl Fn(&str) -> Option<String>) -> Option<PathBuf> {
    let cache = match environment("RUNAGENT_CACHE_DIR").filter(|folder| !folder.is_empty()) {
        Some(folder) => PathBuf::from(folder),
        None => std::env::home_dir().filter(|home| !home.as_os_str().is_empty())?.join(".runagent"),
    };
    Some(cache.join("servers"))
}

/// Reads every lease in a folder. Makes nothing where there is no folder.
pub(crate) fn read(folder: &Path) -> LeaseReading {
    let mut reading = LeaseReading::default();
    let paths = match list(folder) {
        Ok(paths) => paths,
        Err(Problem::Missing) => return reading,
        Err(Problem::Of(reason)) => {
            reading.ignored.push(format!("{} {reason}.", folder.display()));
            return reading;
        }
    };
    for path in paths {
        match read_lease(&path) {
            Ok(lease) => reading.leases.push(lease),
            // Its server has just stopped.
            Err(Problem::Missing) => {}
            Err(Problem::Of(reason)) => reading.ignored.push(format!("{} {reason}.", path.display())),
        }
    }
    let newest_first =
        |one: &Lease, other: &Lease| (&other.started_at, &other.instance_id).cmp(&(&one.started_at, &one.instance_id));
    reading.leases.sort_by(newest_first);
    reading
}

/// Why a file or a folder is not used. The text follows its path in a sentence.
enum Problem {
    Missing,
    Of(String),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        if error.kind() == ErrorKind::NotFound { Self::Missing } else { Self::Of(format!("cannot be read ({error})")) }
    }
}

impl From<&str> for Problem {
    fn from(reason: &str) -> Self {
        Self::Of(reason.to_owned())
    }
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, Problem> {
    let metadata = fs::symlink_metadata(folder)?;
    if !metadata.is_dir() {
        return Err("is not a folder".into());
    }
    trust(&metadata)?;
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read_lease(path: &Path) -> Result<Lease, Problem> {
    // Looked at before it is opened, which is safe in a folder where nobody else can exchange it, and does not wait for
    // the other end of a pipe.
    let metadata = fs::symlink_metadata(path)?;
    if !metadata.is_file() {
        return Err("is not a file".into());
    }
    trust(&metadata)?;
    let mut text = Vec::new();
    fs::File::open(path)?.take(MAX_BYTES + 1).read_to_end(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err("is larger than a lease can be".into());
    }
    let lease = Lease::parse(&text).map_err(Problem::Of)?;
    if path.file_stem().is_none_or(|stem| stem != lease.instance_id.as_str()) {
        return Err("is not named after its `instance_id`".into());
    }
    Ok(lease)
}

#[cfg(unix)]
fn trust(metadata: &Metadata) -> Result<(), Problem> {
    trusted_by(metadata, rustix::process::geteuid().as_raw())
}

#[cfg(unix)]
fn trusted_by(metadata: &Metadata, user: u32) -> Result<(), Problem> {
    use std::os::unix::fs::MetadataExt;

    const OTHERS_MAY_WRITE: u32 = 0o022;
    if metadata.uid() != user {
        return Err("is owned by another user".into());
    }
    if metadata.mode() & OTHERS_MAY_WRITE != 0 {
        return Err("is writable by other users".into());
    }
    Ok(())
}

/// Windows keeps other users out of a home folder by lists that the mode does not show.
#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps)] // The other one fails.
fn trust(_: &Metadata) -> Result<(), Problem> {
    Ok(())
}

fn text_in(fields: &Json, name: &str, valid: impl Fn(&str) -> bool) -> Result<String, String> {
    let text = fields[name].as_str().filter(|text| valid(text));
    text.map(str::to_owned).ok_or_else(|| format!("has no valid `{name}`"))
}

fn port_in(fields: &Json, name: &str) -> Result<Option<u16>, String> {
    if fields[name].is_null() {
        return Ok(None);
    }
    let port = fields[name].as_u64().and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0);
    port.map(Some).ok_or_else(|| format!("has no valid `{name}`"))
}

fn is_instance_id(text: &str) -> bool {
    (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn is_time(text: &str) -> bool {
    let fits = |(byte, wanted): (u8, &u8)| if *wanted == b'd' { byte.is_ascii_digit() } else { byte == *wanted };
    text.len() == TIME_FORMAT.len() && text.bytes().zip(TIME_FORMAT).all(fits)
}

/// A name or an address, and nothing that could make another URL of it.
fn is_host(text: &str) -> bool {
    (1..=255).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._:%-".contains(&byte))
        && !["0.0.0.0", "::"].contains(&text)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    /// A cache folder of a test's own, gone with the test.
    pub(crate) struct Cache(PathBuf);

    impl Cache {
        pub(crate) fn new() -> Self {
            let folder = std::env::temp_dir().join(format!("runagent-{}", uuid::Uuid::new_v4()));
            fs::create_dir(&folder).unwrap();
            Self(folder)
        }

        pub(crate) fn environment(&self, name: &str) -> Option<String> {
            (name == "RUNAGENT_CACHE_DIR").then(|| self.0.to_str().unwrap().to_owned())
        }

        pub(crate) fn folder(&self) -> PathBuf {
            folder(|name| self.environment(name)).unwrap()
        }

        /// Writes a lease with these changes, and returns its path.
        pub(crate) fn write(&self, changes: &Json) -> PathBuf {
            let mut fields = json!({
                "format_version": 1, "instance_id": "one", "pid": 4242, "started_at": "2026-03-01T12:00:00.000000Z",
                "host": "127.0.0.1", "http_port": 8450, "grpc_port": null, "tls": false, "server_name": null,
                "agents": [{"agent_id": "chat", "agent_path": "/srv/chat", "framework": "default"}],
            });
            for (name, value) in changes.as_object().unwrap() {
                fields[name] = value.clone();
            }
            self.write_text(&format!("{}.json", fields["instance_id"].as_str().unwrap()), &fields.to_string())
        }

        fn write_text(&self, name: &str, text: &str) -> PathBuf {
            let path = self.folder().join(name);
            fs::create_dir_all(self.folder()).unwrap();
            fs::write(&path, text).unwrap();
            chmod(&self.folder(), 0o700);
            chmod(&path, 0o600);
            path
        }

        fn expect_ignored(&self, path: &Path, reason: &str) {
            let reading = read(&self.folder());
            assert_eq!(reading.ignored, [format!("{} {reason}.", path.display())]);
            assert_eq!(reading.leases, []);
        }
    }

    impl Drop for Cache {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[cfg(unix)]
    fn chmod(path: &Path, mode: u32) {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[cfg(not(unix))]
    fn chmod(_: &Path, _: u32) {}

    #[test]
    fn the_newest_comes_first_and_unknown_fields_are_ignored() {
        let cache = Cache::new();
        for (id, minute) in [("a", 1), ("b", 3), ("c", 2)] {
            let started_at = format!("2026-03-01T12:0{minute}:00.000000Z");
            cache.write(&json!({"instance_id": id, "started_at": started_at, "mood": [1]}));
        }
        let reading = read(&cache.folder());
        let ids: Vec<_> = reading.leases.iter().map(|lease| lease.instance_id.as_str()).collect();
        assert_eq!((ids, reading.ignored.len()), (vec!["b", "c", "a"], 0));
        assert_eq!(reading.leases[0].agent("chat").unwrap().agent_path, "/srv/chat");
        assert_eq!(reading.leases[0].agent("other"), None);
    }

    #[test]
    fn a_folder_that_is_missing_holds_nothing_and_is_not_made() {
        let cache = Cache::new();
        let reading = read(&cache.folder());
        assert_eq!((reading.leases.len(), reading.ignored.len()), (0, 0));
        assert!(!cache.folder().exists());
    }

    #[test]
    fn a_lease_that_cannot_be_is_ignored_with_the_reason() {
        let cache = Cache::new();
        for (changes, reason) in [
            (json!({"format_version": 2}), "has format version 2, newer than this client reads; upgrade the client"),
            (json!({"format_version": "1"}), "has no valid `format_version`"),
            (json!({"format_version": 0}), "has no valid `format_version`"),
            (json!({"pid": "1"}), "has no valid `pid`"),
            (json!({"pid": 0}), "has no valid `pid`"),
            (json!({"started_at": "yesterday"}), "has no valid `started_at`"),
            (json!({"host": ""}), "has no valid `host`"),
            (json!({"host": "user@elsewhere"}), "has no valid `host`"),
            (json!({"host": "a/b"}), "has no valid `host`"),
            (json!({"host": "0.0.0.0"}), "has no valid `host`"),
            (json!({"http_port": 0}), "has no valid `http_port`"),
            (json!({"http_port": 65536}), "has no valid `http_port`"),
            (json!({"grpc_port": "50051"}), "has no valid `grpc_port`"),
            (json!({"http_port": null}), "has neither `http_port` nor `grpc_port`"),
            (json!({"tls": "no"}), "has no valid `tls`"),
            (json!({"agents": {}}), "has no list of `agents`"),
            (json!({"agents": [{}]}), "has an agent without `agent_id`"),
        ] {
            let path = cache.write(&changes);
            cache.expect_ignored(&path, reason);
        }
        let other = cache.folder().join("two.json");
        fs::rename(cache.write(&json!({})), &other).unwrap();
        cache.expect_ignored(&other, "is not named after its `instance_id`");
    }

    #[test]
    fn a_malformed_file_is_ignored_and_hides_no_other() {
        let cache = Cache::new();
        cache.write(&json!({}));
        for (text, reason) in [
            (String::new(), "is not JSON"),
            ("[".repeat(100_000), "is not JSON"),
            ("[]".to_owned(), "is not a JSON object"),
            (" ".repeat(1024 * 1024 + 1), "is larger than a lease can be"),
        ] {
            let path = cache.write_text("bad.json", &text);
            let reading = read(&cache.folder());
            assert_eq!(reading.leases.len(), 1);
            assert_eq!(reading.ignored, [format!("{} {reason}.", path.display())]);
        }
    }

    #[cfg(unix)]
    #[test]
    fn what_others_can_write_or_own_is_never_used() {
        let cache = Cache::new();
        let path = cache.write(&json!({}));
        for mode in [0o620, 0o602] {
            chmod(&path, mode);
            cache.expect_ignored(&path, "is writable by other users");
        }
        chmod(&path, 0o600);
        chmod(&cache.folder(), 0o777);
        cache.expect_ignored(&cache.folder(), "is writable by other users");
        chmod(&cache.folder(), 0o700);
        assert_eq!(read(&cache.folder()).leases.len(), 1);

        let another = rustix::process::geteuid().as_raw() + 1;
        let Err(Problem::Of(reason)) = trusted_by(&fs::metadata(&path).unwrap(), another) else {
            panic!("A file of another user is trusted.")
        };
        assert_eq!(reason, "is owned by another user");
    }

    #[cfg(unix)]
    #[test]
    fn links_are_ignored() {
        let cache = Cache::new();
        let path = cache.write(&json!({}));
        let elsewhere = cache.folder().with_file_name("one.json");
        fs::rename(&path, &elsewhere).unwrap();
        std::os::unix::fs::symlink(&elsewhere, &path).unwrap();
        cache.expect_ignored(&path, "is not a file");
    }
}
