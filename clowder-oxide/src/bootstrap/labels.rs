//! Labels that a kubelet gives its own node.

/// Whether a kubelet may label its node so: a name and a value as Kubernetes spells them, and not of Kubernetes' own
/// domains, in which the API server lets a node label itself only with a few that k3s sets anyway.
pub(super) fn may_be_set(name: &str, value: &str) -> bool {
    let (domain, local) = match name.split_once('/') {
        Some((domain, local)) => (Some(domain), local),
        None => (None, name),
    };
    let reserved = |domain: &str| {
        ["kubernetes.io", "k8s.io"]
            .iter()
            .any(|own| domain == *own || domain.strip_suffix(own).is_some_and(|rest| rest.ends_with('.')))
    };
    domain.is_none_or(|domain| is_domain(domain) && !reserved(domain))
        && is_word(local)
        && (value.is_empty() || is_word(value))
}

/// 1 to 63 letters, digits, `-`, `_` and `.`, a letter or digit first and last.
fn is_word(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=63).contains(&text.len())
        && text.chars().all(inner)
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text.ends_with(|c: char| c.is_ascii_alphanumeric())
}

/// A DNS subdomain, lower case.
pub(super) fn is_domain(text: &str) -> bool {
    text.len() <= 253
        && text
            .split('.')
            .all(|part| is_word(part) && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_api_server_would_refuse_is_refused_here() {
        for (name, value) in [("clowder.dev/pool", "large"), ("pool", ""), ("a.b-c/D_e.f", "X.1")] {
            assert!(may_be_set(name, value), "{name}={value}");
        }
        for (name, value) in [
            ("", "a"),
            ("a/b/c", "a"),
            ("/a", "a"),
            ("A.b/c", "a"),
            ("a..b/c", "a"),
            ("a", "b c"),
            ("a", "b,c=d"),
            ("a", "-b"),
            ("node-role.kubernetes.io/worker", "true"),
            ("kubernetes.io/role", "worker"),
            ("k8s.io/x", "y"),
        ] {
            assert!(!may_be_set(name, value), "{name}={value}");
        }
        assert!(may_be_set("mykubernetes.io/x", "y"));
    }
}
