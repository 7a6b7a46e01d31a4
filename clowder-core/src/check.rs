//! What a [`ModelSpec`] may say: the bounds that all who make one keep it to.

use crate::model::{AcceleratorRequest, ModelName, ModelSpec, Rollout};

/// The longest name of a label or an accelerator: a domain of 253 characters, a '/', and 63.
const LONGEST_KEY: usize = 317;
/// How much of what was written an error quotes.
const QUOTED: usize = 80;

/// What a [`ModelSpec`] says that it may not.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum InvalidSpec {
    /// A further name that is its first.
    #[error("\"{0}\" is the model's own name: leave it out")]
    OwnAlias(ModelName),
    /// Too many further names.
    #[error("{0} further names are more than the {most} a model may have", most = ModelSpec::MOST_ALIASES)]
    TooManyAliases(usize),
    /// So little memory is no worker's.
    #[error("{0} bytes are too few for a worker: write {least} or more", least = ModelSpec::LEAST_MEMORY)]
    Memory(u64),
    /// A priority beyond what is compared.
    #[error("{0} is out of bounds: write a number from -{most} to {most}", most = ModelSpec::MOST_PRIORITY)]
    Priority(i32),
    /// More workers meanwhile than a model may have.
    #[error("surge {0} is above {most}", most = Rollout::MOST_SURGE)]
    Surge(u32),
    /// No node has a label of this name.
    #[error("spread {0:?} is no name of a label: write one such as topology.kubernetes.io/zone")]
    Spread(String),
    /// No node has an accelerator of this name.
    #[error(
        "accelerators.name {0:?} is no name of an accelerator: write what the nodes call it, such as nvidia.com/gpu"
    )]
    AcceleratorName(String),
    /// So many are not in one machine, and none is asked for by leaving them out.
    #[error("accelerators.count {0} is out of bounds: write a number from 1 to {most}", most = AcceleratorRequest::MOST)]
    AcceleratorCount(u32),
}

impl InvalidSpec {
    /// The field of [`ModelSpec`] that it is in.
    pub fn field(&self) -> &'static str {
        match self {
            Self::OwnAlias(_) | Self::TooManyAliases(_) => "aliases",
            Self::Memory(_) => "memory",
            Self::Priority(_) => "priority",
            Self::Surge(_) => "rollout",
            Self::Spread(_) | Self::AcceleratorName(_) | Self::AcceleratorCount(_) => "placement",
        }
    }
}

impl ModelSpec {
    /// Whether its further names, memory, priority, rollout and placement are within their bounds.
    ///
    /// # Errors
    /// [`InvalidSpec`], for the first thing that is wrong.
    pub fn check(&self) -> Result<(), InvalidSpec> {
        if self.aliases.contains(&self.name) {
            return Err(InvalidSpec::OwnAlias(self.name.clone()));
        }
        if self.aliases.len() > Self::MOST_ALIASES {
            return Err(InvalidSpec::TooManyAliases(self.aliases.len()));
        }
        if let Some(memory) = self.memory.filter(|memory| *memory < Self::LEAST_MEMORY) {
            return Err(InvalidSpec::Memory(memory));
        }
        if self.priority.unsigned_abs() > Self::MOST_PRIORITY.unsigned_abs() {
            return Err(InvalidSpec::Priority(self.priority));
        }
        if let Some(surge) = self.rollout.surge.filter(|surge| *surge > Rollout::MOST_SURGE) {
            return Err(InvalidSpec::Surge(surge));
        }
        if let Some(spread) = self.placement.spread.as_deref().filter(|spread| !is_label(spread)) {
            return Err(InvalidSpec::Spread(quoted(spread)));
        }
        match &self.placement.accelerators {
            Some(AcceleratorRequest { name, .. }) if !is_name(name) => Err(InvalidSpec::AcceleratorName(quoted(name))),
            Some(AcceleratorRequest { count, .. }) if !(1..=AcceleratorRequest::MOST).contains(count) => {
                Err(InvalidSpec::AcceleratorCount(*count))
            }
            _ => Ok(()),
        }
    }
}

fn is_label(text: &str) -> bool {
    let spelled = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
    text.starts_with(|c: char| c.is_ascii_alphanumeric()) && text.len() <= LONGEST_KEY && text.chars().all(spelled)
}

/// A maker's name may have blanks in it.
fn is_name(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= LONGEST_KEY && !text.contains(char::is_control)
}

fn quoted(text: &str) -> String {
    text.chars().take(QUOTED).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut ModelSpec)) -> InvalidSpec {
        let mut spec = ModelSpec::new("kitten".parse().unwrap(), "builtin:kitten".parse().unwrap());
        assert_eq!(spec.check(), Ok(()));
        change(&mut spec);
        spec.check().unwrap_err()
    }

    fn accelerators(name: &str, count: u32) -> Option<AcceleratorRequest> {
        Some(AcceleratorRequest { name: name.to_owned(), count })
    }

    #[test]
    fn what_is_out_of_bounds_is_told_with_its_field() {
        let many = (0..=ModelSpec::MOST_ALIASES).map(|n| format!("a{n}").parse().unwrap());
        let told = [
            (
                refused(|spec| spec.aliases = ["kitten".parse().unwrap()].into()),
                "aliases: \"kitten\" is the model's own name",
            ),
            (refused(|spec| spec.aliases.extend(many)), "aliases: 17 further names are more than the 16"),
            (refused(|spec| spec.memory = Some(6)), "memory: 6 bytes are too few for a worker: write 1048576"),
            (refused(|spec| spec.priority = i32::MIN), "priority: -2147483648 is out of bounds"),
            (refused(|spec| spec.rollout.surge = Some(1001)), "rollout: surge 1001 is above 1000"),
            (refused(|spec| spec.placement.spread = Some(String::new())), "placement: spread \"\" is no name"),
            (refused(|spec| spec.placement.spread = Some("a zone".into())), "placement: spread \"a zone\" is no name"),
            (
                refused(|spec| spec.placement.accelerators = accelerators(" ", 1)),
                "placement: accelerators.name \" \" is no name",
            ),
            (
                refused(|spec| spec.placement.accelerators = accelerators("nvidia.com/gpu", 0)),
                "placement: accelerators.count 0 is out of bounds",
            ),
            (
                refused(|spec| spec.placement.accelerators = accelerators("nvidia.com/gpu", 65)),
                "placement: accelerators.count 65 is out of bounds",
            ),
        ];
        for (error, beginning) in told {
            let told = format!("{}: {error}", error.field());
            assert!(told.starts_with(beginning), "{told}");
        }
    }

    #[test]
    fn the_bounds_themselves_are_within() {
        let mut spec = ModelSpec::new("kitten".parse().unwrap(), "builtin:kitten".parse().unwrap());
        spec.aliases = (0..ModelSpec::MOST_ALIASES).map(|n| format!("a{n}").parse().unwrap()).collect();
        spec.memory = Some(ModelSpec::LEAST_MEMORY);
        spec.priority = -ModelSpec::MOST_PRIORITY;
        spec.rollout.surge = Some(0);
        spec.placement.spread = Some("topology.kubernetes.io/zone".to_owned());
        spec.placement.accelerators = accelerators("NVIDIA H100 PCIe", AcceleratorRequest::MOST);
        assert_eq!(spec.check(), Ok(()));
    }
}
