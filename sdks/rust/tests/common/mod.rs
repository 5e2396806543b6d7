//! A server to call. It is the one of this repository, which `RUNAGENT_PYTHON` (by default `.venv/bin/python` of the
//! repository) runs; without it, tests are skipped aloud.

// Not every file of tests needs all of it.
#![allow(dead_code)]

use std::io::{BufRead, BufReader, Read};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

use runagent::client::{ClientBuilder, RunAgentClient, Transport};
use serde_json::json;

/// How many servers this process has started.
static SERVERS: AtomicUsize = AtomicUsize::new(0);

/// A server of the conformance kit's agent, which does what its arguments say. Ends with the test.
pub struct Server {
    process: Child,
    pub http: u16,
    pub grpc: u16,
}

impl Server {
    pub fn start() -> Option<Self> {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..");
        let python = std::env::var_os("RUNAGENT_PYTHON").map_or_else(|| root.join(".venv/bin/python"), PathBuf::from);
        if !python.exists() {
            let said =
                format!("There is no {}, so nothing can be served; `make .venv/done` sets it up.", python.display());
            assert!(std::env::var_os("REQUIRE_TOOLCHAINS").is_none(), "{said}");
            eprintln!("Skipped. {said}");
            return None;
        }
        // A home of its own: one that is shared has the agent served already.
        let number = SERVERS.fetch_add(1, Ordering::Relaxed);
        let home = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("server-{}-{number}", std::process::id()));
        let mut process = Command::new(python)
            .args(["-m", "runagent_cli", "serve", "--port", "0", "--grpc-port", "0"])
            .arg(root.join("tests/conformance/agent"))
            .env("RUNAGENT_CACHE_DIR", home)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the server starts");
        let mut said = String::new();
        let mut lines = BufReader::new(process.stderr.take().expect("standard error is piped"));
        while !said.contains("Press Ctrl-C") {
            assert_ne!(lines.read_line(&mut said).expect("it says something"), 0, "The server ended: {said}");
        }
        // What it says later has to go somewhere, or it would wait to be heard.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()));
        let port = |scheme: &str| {
            let (_, rest) = said.split_once(&format!("{scheme}://127.0.0.1:")).expect("it names its ports");
            rest.chars().take_while(char::is_ascii_digit).collect::<String>().parse().expect("a port is a number")
        };
        Some(Self { http: port("http"), grpc: port("grpc"), process })
    }

    pub fn client(&self, tag: &str, wire: Transport) -> ClientBuilder {
        let port = if wire == Transport::Grpc { self.grpc } else { self.http };
        RunAgentClient::builder("conformance", tag).address("127.0.0.1", port).transport(wire)
    }

    /// Asks the agent, which waits for whatever it is that a run of this mark does.
    pub async fn says(&self, tag: &str, mark: &str) -> bool {
        let client = self.client(tag, Transport::Grpc).build().await.unwrap();
        client.run(&[("mark", json!(mark))]).await.unwrap().to().unwrap()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
