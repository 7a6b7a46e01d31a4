use super::*;
use crate::flags::tests::typed;
use tempfile::TempDir;

const FILE: &str = r#"
[profile.home]
host = "https://rack.example.com"
token = "oxide-token-home"
user = "u"
[profile.away]
host = "https://away.example.com/"
token = "oxide-token-away"
user = "u"
[profile.twin]
host = "https://away.example.com"
token = "oxide-token-twin"
user = "u"
"#;

fn home(credentials: Option<&str>, config: Option<&str>) -> TempDir {
    let home = tempfile::tempdir().unwrap();
    let folder = home.path().join(".config/oxide");
    std::fs::create_dir_all(&folder).unwrap();
    for (name, text) in [("credentials.toml", credentials), ("config.toml", config)] {
        if let Some(text) = text {
            std::fs::write(folder.join(name), text).unwrap();
        }
    }
    home
}

fn find(words: &str, home: &TempDir, set: &[(&str, &str)]) -> Result<(String, String), String> {
    let flags = typed(words).unwrap().flags.rack;
    let environment = |name: &str| match set.iter().find(|(key, _)| *key == name) {
        Some((_, value)) => Some(OsString::from(value)),
        None => (name == "HOME").then(|| home.path().into()),
    };
    let found = Credentials::find(&flags, &environment).map_err(|error| clowder_core::chain(&error))?;
    Ok((shown(&found.url), found.token.expose().to_owned()))
}

#[track_caller]
fn assert_found(found: &Result<(String, String), String>, url: &str, token: &str) {
    assert_eq!(*found, Ok((url.to_owned(), token.to_owned())));
}

#[test]
fn flags_go_before_the_environment_and_that_before_the_files() {
    let full = home(Some(FILE), Some("default-profile = \"home\""));
    assert_found(&find("", &full, &[]), "https://rack.example.com", "oxide-token-home");
    assert_found(&find("", &full, &[("OXIDE_PROFILE", "twin")]), "https://away.example.com", "oxide-token-twin");
    let named = [("OXIDE_HOST", "https://o.example.com"), ("OXIDE_TOKEN", "t")];
    assert_found(&find("", &full, &named), "https://o.example.com", "t");
    assert_found(
        &find("", &full, &[("OXIDE_HOST", "https://rack.example.com/")]),
        "https://rack.example.com",
        "oxide-token-home",
    );
    assert_found(
        &find("--oxide-profile away", &full, &[("OXIDE_TOKEN", "t")]),
        "https://away.example.com",
        "oxide-token-away",
    );
    let told = "--oxide-api-url https://x.example.com --oxide-token u";
    assert_found(&find(told, &full, &named), "https://x.example.com", "u");
}

#[test]
fn a_rack_without_a_token_is_looked_up_among_the_profiles() {
    let full = home(Some(FILE), None);
    assert_found(
        &find("--oxide-api-url https://rack.example.com", &full, &[]),
        "https://rack.example.com",
        "oxide-token-home",
    );
    // A token that the environment has for another rack is not sent to this one.
    let other = [("OXIDE_HOST", "https://o.example.com"), ("OXIDE_TOKEN", "t")];
    assert_found(
        &find("--oxide-api-url https://rack.example.com", &full, &other),
        "https://rack.example.com",
        "oxide-token-home",
    );
    let several = find("--oxide-api-url https://away.example.com", &full, &[]).unwrap_err();
    assert_eq!(
        several,
        "several profiles are for https://away.example.com: choose one with --oxide-profile (away, twin)"
    );
    let chosen = home(Some(FILE), Some("default-profile = \"twin\""));
    assert_found(
        &find("--oxide-api-url https://away.example.com", &chosen, &[]),
        "https://away.example.com",
        "oxide-token-twin",
    );
}

#[test]
fn what_is_missing_is_said_in_one_line() {
    let (none, full) = (home(None, None), home(Some(FILE), None));
    let broken = home(Some("[profile.home]\nhost = \"h\"\ntoken = oxide-token-home"), None);
    for (words, home, set, says) in [
        ("", &none, vec![], "nobody is logged in"),
        ("", &full, vec![], "which rack is not said"),
        ("--oxide-profile work", &full, vec![], "there is no profile work in"),
        ("--oxide-profile work", &full, vec![], "there are away, home, twin"),
        (
            "--oxide-profile home",
            &full,
            vec![("OXIDE_HOST", "https://o.example.com")],
            "OXIDE_HOST and a profile are both set",
        ),
        ("--oxide-token t", &full, vec![], "no rack"),
        ("", &full, vec![("OXIDE_TOKEN", "t")], "no rack"),
        ("--oxide-api-url https://o.example.com", &full, vec![], "no profile in"),
        (
            "--oxide-profile home --oxide-api-url https://o.example.com",
            &full,
            vec![],
            "profile home is for https://rack.example.com",
        ),
        ("--oxide-api-url rack.example.com", &full, vec![], "is not a rack's URL"),
        ("--oxide-api-url http://rack.example.com", &full, vec![], "is not a rack's URL"),
        ("--oxide-profile home", &broken, vec![], "is not understood"),
    ] {
        let said = find(words, home, &set).unwrap_err();
        assert!(said.contains(says), "{words:?}: {said}");
        assert!(!said.contains('\n') && !said.contains("oxide-token-"), "{said}");
    }
}
