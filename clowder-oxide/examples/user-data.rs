//! Writes the user data of every kind of machine into a folder, with secrets made for it alone:
//! `user-data FOLDER [PLACE CHECKSUMS]`. With `PLACE`, a URL or a folder of the image, machines find there what they
//! install; `CHECKSUMS` is a file as `sha256sum` writes it.

#![allow(clippy::unwrap_used, reason = "it is part of a test, and fails by panicking")]

#[path = "../tests/variants/mod.rs"]
mod variants;

use clowder_oxide::bootstrap::ClusterSecrets;
use std::error::Error;
use std::path::Path;
use variants::Sources;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (folder, sources) = match arguments.as_slice() {
        [folder] => (folder, Sources::published()),
        [folder, place, checksums] => {
            let checksums = std::fs::read_to_string(checksums)?;
            let of = |name: &str| {
                let mut lines = checksums.lines().filter_map(|line| line.split_once("  "));
                lines.find(|(_, file)| *file == name).map(|(sha256, _)| sha256.to_owned()).unwrap_or_default()
            };
            (folder, Sources::elsewhere(place, of))
        }
        _ => return Err("usage: user-data FOLDER [PLACE CHECKSUMS]".into()),
    };
    let secrets = ClusterSecrets::generate()?;
    std::fs::create_dir_all(folder)?;
    for (name, made) in variants::variants(&secrets, &sources) {
        std::fs::write(Path::new(folder).join(format!("{name}.yaml")), made.as_bytes())?;
    }
    Ok(())
}
