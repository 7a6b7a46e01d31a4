//! Split GGUFs: `NAME-00001-of-00003.gguf` and its like are one model.

/// The most parts one model may have.
const MOST_PARTS: u32 = 999;

/// Of `NAME-0000K-of-0000N.gguf`: what comes before the numbers, and N.
pub(super) fn parts_of(name: &str) -> Option<(&str, u32)> {
    let numbered = name.strip_suffix(".gguf")?;
    let (rest, count) = numbered.rsplit_once("-of-")?;
    let (stem, part) = rest.rsplit_once('-')?;
    let number = |digits: &str| {
        (digits.len() == 5 && digits.bytes().all(|b| b.is_ascii_digit())).then(|| digits.parse::<u32>().ok())?
    };
    let (part, count) = (number(part)?, number(count)?);
    (1 <= part && part <= count && count <= MOST_PARTS).then_some((stem, count))
}

/// The names of all parts of the model that `name` is a part of, in order; `name` alone where it is not split.
pub(super) fn all_of(name: &str) -> Vec<String> {
    match parts_of(name) {
        Some((stem, count)) => (1..=count).map(|part| format!("{stem}-{part:05}-of-{count:05}.gguf")).collect(),
        None => vec![name.to_owned()],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn split_names() {
        assert_eq!(all_of("m-00002-of-00002.gguf"), ["m-00001-of-00002.gguf", "m-00002-of-00002.gguf"]);
        for whole in ["m.gguf", "m-00003-of-00002.gguf", "m-0001-of-0002.gguf", "m-00001-of-99999.gguf", "-of-.gguf"] {
            assert_eq!(all_of(whole), [whole]);
        }
    }

    proptest! {
        #[test]
        fn a_name_is_one_of_its_own_parts(name in "[a-z]{0,4}(-0000[0-3]-of-0000[0-3])?(.gguf)?") {
            prop_assert!(all_of(&name).contains(&name));
        }
    }
}
