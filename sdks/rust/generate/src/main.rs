//! Writes the crate's stubs from the contract: `cargo run -- PROTOS TARGET`.
//!
//! Needs no protoc: protox reads the files, tonic-prost-build writes the code.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

const FOLDER: &str = "runagent/v1";

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<PathBuf> = std::env::args_os().skip(1).map(PathBuf::from).collect();
    let [protos, target] = arguments.as_slice() else {
        return Err("Say where protos/ is, and where to write.".into());
    };
    fs::create_dir_all(target)?;
    let descriptors = protox::compile(sources(protos)?, [protos])?;
    tonic_prost_build::configure()
        .build_server(false)
        .out_dir(target)
        .compile_fds(descriptors)?;
    Ok(())
}

/// Returns the files in order, for the order of what is written follows theirs.
fn sources(protos: &Path) -> Result<Vec<PathBuf>, Box<dyn Error>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(protos.join(FOLDER))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "proto") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}
