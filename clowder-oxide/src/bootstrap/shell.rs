//! Values in a shell script.

/// The value as one word of a shell, whatever is in it.
pub(super) fn quoted(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

/// `NAME='value'`.
pub(super) fn assignment(name: &str, value: &str) -> String {
    format!("{name}={}\n", quoted(value))
}

/// `NAME=('value' 'value')`.
pub(super) fn list<T: AsRef<str>>(name: &str, values: impl IntoIterator<Item = T>) -> String {
    let words: Vec<String> = values.into_iter().map(|value| quoted(value.as_ref())).collect();
    format!("{name}=({})\n", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::process::Command;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_shell_reads_what_was_written(values in proptest::collection::vec("[^\0]{0,12}", 0..4)) {
            let script = list("values", &values) + "printf '%s\\0' \"${values[@]}\"";
            let output = Command::new("bash").args(["-c", &script]).output().unwrap();
            let read = String::from_utf8(output.stdout).unwrap();
            let expected: String = if values.is_empty() {
                "\0".to_owned()
            } else {
                values.iter().map(|value| format!("{value}\0")).collect()
            };
            prop_assert_eq!(read, expected);
        }
    }
}
