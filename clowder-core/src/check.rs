//! What a [`ModelSpec`] may say: the bounds that all who make one keep it to.

use crate::model::{
    AcceleratorRequest, Canary, Draft, EngineSettings, InvalidSetting, ModelName, ModelSpec, Rollout, Setting,
};
use std::collections::BTreeSet;

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
    /// Too many adapters.
    #[error("{0} adapters are more than the {most} a model may have", most = ModelSpec::MOST_ADAPTERS)]
    TooManyAdapters(usize),
    /// An adapter whose name the model has already, or another adapter.
    #[error(
        "{0} is an adapter's name and another's, too, the model's, a further name or another adapter's: each has a name of its own"
    )]
    AdapterName(ModelName),
    /// So many guesses are never right.
    #[error("draft.tokens {0} is out of bounds: write a number from 1 to {most}", most = Draft::MOST_TOKENS)]
    DraftTokens(u32),
    /// A further setting that llama.cpp has not, or not so.
    #[error("extra: {0}")]
    Extra(InvalidSetting),
    /// A trial of none or all of the requests.
    #[error(
        "canary.weight {0} is out of bounds: write a number from {least} to {most}",
        least = Canary::WEIGHTS.start(), most = Canary::WEIGHTS.end()
    )]
    CanaryWeight(u8),
    /// The settings on trial are out of bounds.
    #[error("canary.engine.{0}")]
    CanaryEngine(Box<InvalidSpec>),
    /// A trial of what is so already.
    #[error("canary.engine has the settings of the model itself: change some of them, or take the canary out")]
    SameCanary,
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
            Self::TooManyAdapters(_) | Self::AdapterName(_) => "adapters",
            Self::DraftTokens(_) | Self::Extra(_) => "engine",
            Self::Memory(_) => "memory",
            Self::Priority(_) => "priority",
            Self::Surge(_) | Self::CanaryWeight(_) | Self::CanaryEngine(_) | Self::SameCanary => "rollout",
            Self::Spread(_) | Self::AcceleratorName(_) | Self::AcceleratorCount(_) => "placement",
        }
    }
}

impl ModelSpec {
    /// Whether its further names, adapters, draft model, further settings, memory, priority, rollout and placement are within
    /// their bounds.
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
        if self.adapters.len() > Self::MOST_ADAPTERS {
            return Err(InvalidSpec::TooManyAdapters(self.adapters.len()));
        }
        let mut names = BTreeSet::new();
        if let Some(twice) = self.names().find(|name| !names.insert(*name)) {
            return Err(InvalidSpec::AdapterName(twice.clone()));
        }
        check_engine(&self.engine)?;
        if let Some(memory) = self.memory.filter(|memory| *memory < Self::LEAST_MEMORY) {
            return Err(InvalidSpec::Memory(memory));
        }
        if self.priority.unsigned_abs() > Self::MOST_PRIORITY.unsigned_abs() {
            return Err(InvalidSpec::Priority(self.priority));
        }
        if let Some(surge) = self.rollout.surge.filter(|surge| *surge > Rollout::MOST_SURGE) {
            return Err(InvalidSpec::Surge(surge));
        }
        if let Some(canary) = &self.rollout.canary {
            if !Canary::WEIGHTS.contains(&canary.weight) {
                return Err(InvalidSpec::CanaryWeight(canary.weight));
            }
            check_engine(&canary.engine).map_err(|error| InvalidSpec::CanaryEngine(Box::new(error)))?;
            if canary.engine == self.engine {
                return Err(InvalidSpec::SameCanary);
            }
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

fn check_engine(engine: &EngineSettings) -> Result<(), InvalidSpec> {
    if let Some(tokens) = engine.draft.as_ref().and_then(|draft| draft.tokens)
        && !(1..=Draft::MOST_TOKENS).contains(&tokens)
    {
        return Err(InvalidSpec::DraftTokens(tokens));
    }
    engine.extra.iter().try_for_each(|(name, value)| Setting::parse(name, value).map(drop)).map_err(InvalidSpec::Extra)
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
    use crate::model::Adapter;

    fn refused(change: impl FnOnce(&mut ModelSpec)) -> InvalidSpec {
        let mut spec = ModelSpec::new("kitten".parse().unwrap(), "builtin:kitten".parse().unwrap());
        assert_eq!(spec.check(), Ok(()));
        change(&mut spec);
        spec.check().unwrap_err()
    }

    fn adapter(name: &str) -> Adapter {
        Adapter { name: name.parse().unwrap(), source: "builtin:kitten".parse().unwrap(), digest: None }
    }

    fn draft(tokens: u32) -> Option<Draft> {
        Some(Draft { tokens: Some(tokens), ..Draft::new("builtin:kitten".parse().unwrap()) })
    }

    fn canary(weight: u8, slots: u32) -> Option<Canary> {
        let slots = Some(slots).filter(|slots| *slots != EngineSettings::DEFAULT_SLOTS);
        Some(Canary { weight, engine: EngineSettings { slots, ..EngineSettings::default() } })
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
            (
                refused(|spec| spec.adapters.push(adapter("kitten"))),
                "adapters: kitten is an adapter's name and another's, too",
            ),
            (
                refused(|spec| spec.adapters = (0..33).map(|n| adapter(&format!("a{n}"))).collect()),
                "adapters: 33 adapters are more than the 32",
            ),
            (refused(|spec| spec.engine.draft = draft(65)), "engine: draft.tokens 65 is out of bounds"),
            (
                refused(|spec| spec.engine.extra = [("mmap".into(), "1".into())].into()),
                "engine: extra: there is no setting \"mmap\"",
            ),
            (refused(|spec| spec.rollout.canary = canary(100, 2)), "rollout: canary.weight 100 is out of bounds"),
            (refused(|spec| spec.rollout.canary = canary(10, 4)), "rollout: canary.engine has the settings"),
            (
                refused(|spec| {
                    spec.rollout.canary = canary(10, 2);
                    spec.rollout.canary.as_mut().unwrap().engine.draft = draft(0);
                }),
                "rollout: canary.engine.draft.tokens 0 is out of bounds",
            ),
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
        spec.rollout.canary = canary(99, 2);
        spec.engine.draft = draft(Draft::MOST_TOKENS);
        spec.adapters = (0..ModelSpec::MOST_ADAPTERS).map(|n| adapter(&format!("l{n}"))).collect();
        spec.placement.spread = Some("topology.kubernetes.io/zone".to_owned());
        spec.placement.accelerators = accelerators("NVIDIA H100 PCIe", AcceleratorRequest::MOST);
        assert_eq!(spec.check(), Ok(()));
    }
}
