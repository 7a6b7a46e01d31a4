//! Picks a repository's file by quantisation.

use crate::sources::split;
use std::collections::{BTreeMap, BTreeSet};

/// The paths of the model with that quantisation, all parts in order; or the quantisations there are, for the message.
pub(super) fn pick(files: &[String], wanted: &str) -> Result<Vec<String>, String> {
    let wanted = wanted.to_ascii_uppercase();
    // Parts of one model are one candidate, known by its first part.
    let mut candidates: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for path in files.iter().filter(|path| is_model(path)) {
        let parts = parts(path);
        if let Some(first) = parts.first() {
            candidates.entry(first.clone()).or_insert(parts);
        }
    }
    let fitting = candidates.values().filter(|parts| parts.first().is_some_and(|path| carries(path, &wanted)));
    // `UD-Q4_K_XL` also carries `Q4_K_XL`; the plainest name is the one that was meant.
    match fitting.min_by_key(|parts| parts.first().map(|path| (path.matches('/').count(), path.len(), path.clone()))) {
        Some(parts) => Ok(parts.clone()),
        None => Err(offered(candidates.keys())),
    }
}

fn parts(path: &str) -> Vec<String> {
    match path.rsplit_once('/') {
        Some((folder, name)) => split::all_of(name).into_iter().map(|part| format!("{folder}/{part}")).collect(),
        None => split::all_of(path),
    }
}

/// Projectors and importance matrices are companions, not models.
fn is_model(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path).to_ascii_lowercase();
    name.ends_with(".gguf") && !name.contains("mmproj") && !name.contains("imatrix")
}

/// Whether the path has that word in it, so that `Q4_K` is not found in `Q4_K_M`, nor `Q4_XS` in `IQ4_XS`.
fn carries(path: &str, wanted: &str) -> bool {
    let path = path.to_ascii_uppercase();
    path.match_indices(wanted).any(|(at, _)| {
        let before = path[..at].chars().next_back();
        let after = path[at + wanted.len()..].chars().next();
        before.is_none_or(|c| !c.is_ascii_alphanumeric())
            && after.is_none_or(|c| !c.is_ascii_alphanumeric() && c != '_')
    })
}

fn offered<'a>(paths: impl Iterator<Item = &'a String>) -> String {
    const MOST: usize = 30;
    let words: BTreeSet<String> = paths
        .flat_map(|path| path.to_ascii_uppercase().split(['-', '.', '/']).map(str::to_owned).collect::<Vec<_>>())
        .filter(|word| is_quantisation(word))
        .take(MOST)
        .collect();
    match words.len() {
        0 => "no GGUF with a quantisation in its name".to_owned(),
        _ => words.into_iter().collect::<Vec<_>>().join(", "),
    }
}

fn is_quantisation(word: &str) -> bool {
    let digits_after =
        |prefix| word.strip_prefix(prefix).is_some_and(|rest: &str| rest.starts_with(|c: char| c.is_ascii_digit()));
    matches!(word, "F16" | "BF16" | "F32" | "MXFP4") || digits_after("Q") || digits_after("IQ") || digits_after("TQ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn files(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    #[test]
    fn the_word_must_be_whole() {
        let files = files(&["m-Q4_K_M.gguf", "m-IQ4_XS.gguf", "m.Q8_0.gguf", "README.md", "mmproj-m-Q8_0.gguf"]);
        assert_eq!(pick(&files, "q4_k_m").unwrap(), ["m-Q4_K_M.gguf"]);
        assert_eq!(pick(&files, "Q8_0").unwrap(), ["m.Q8_0.gguf"]);
        assert_eq!(pick(&files, "Q4_K").unwrap_err(), "IQ4_XS, Q4_K_M, Q8_0");
        assert!(pick(&files, "Q4_XS").is_err());
        assert_eq!(pick(&["/Q4_0.gguf".to_owned()], "Q4_0").unwrap(), ["/Q4_0.gguf"], "a path stays as it is spelled");
        assert_eq!(pick(&[], "Q4_0").unwrap_err(), "no GGUF with a quantisation in its name");
    }

    #[test]
    fn the_plainest_name_wins_and_parts_stay_together() {
        let files = files(&[
            "m-UD-Q4_K_XL.gguf",
            "m-Q4_K_XL.gguf",
            "Q2_K/m-Q2_K-00002-of-00002.gguf",
            "Q2_K/m-Q2_K-00001-of-00002.gguf",
        ]);
        assert_eq!(pick(&files, "Q4_K_XL").unwrap(), ["m-Q4_K_XL.gguf"]);
        let parts = ["Q2_K/m-Q2_K-00001-of-00002.gguf", "Q2_K/m-Q2_K-00002-of-00002.gguf"];
        assert_eq!(pick(&files, "Q2_K").unwrap(), parts);
    }

    proptest! {
        #[test]
        fn any_listing_is_read_without_panic(names in prop::collection::vec(".{0,20}(Q4_0)?.{0,4}(.gguf)?", 0..8)) {
            if let Ok(parts) = pick(&names, "Q4_0") {
                prop_assert!(parts.iter().any(|part| names.contains(part)));
            }
        }
    }
}
