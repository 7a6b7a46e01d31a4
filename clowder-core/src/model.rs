//! What a user wants: a model, by name, from a source, so many times, under these settings.

use crate::autoscale::Autoscaling;
use crate::node::NodeName;
use crate::secret::Credentials;
use crate::source::Digest;
use crate::url::ModelUrl;
use crate::worker::WorkerId;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

mod extra;
mod rollout;
mod settings;

pub use extra::{InvalidSetting, RopeScaling, Setting, SplitMode};
pub use rollout::{Canary, Rollout, Shares};
pub use settings::{Draft, EngineSettings, InvalidKvType, KvType};

/// The name a client puts into `model`: the alias of a deployed model.
///
/// One to 63 characters of `a–z A–Z 0–9 . _ - :` and `/`, beginning with a letter or digit, so that it is safe in a path
/// of an URL, a file name after [`ModelName::slug`], and a line of a terminal.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ModelName(String);

/// A string that is no [`ModelName`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "model name {0:?} is not usable: take 1 to 63 letters, digits, '.', '_', '-', ':' or '/', beginning with a letter or digit"
)]
pub struct InvalidModelName(pub String);

impl ModelName {
    /// The name of a model from this source where nobody gives it one: its file's, as far as it may stand in a name.
    ///
    /// # Errors
    /// [`InvalidModelName`] where nothing of it may.
    pub fn of_source(source: &ModelUrl) -> Result<Self, InvalidModelName> {
        let file = source.file_name();
        let stem = file.strip_suffix(".gguf").unwrap_or(&file);
        let spelled: String = stem
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-') { c } else { '-' })
            .skip_while(|c| !c.is_ascii_alphanumeric())
            .take(63)
            .collect();
        spelled.parse()
    }

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The name as a DNS label (RFC 1123): lower case, everything but letters and digits turned into `-`, at most 40
    /// characters. Two names may share a slug; a [`WorkerId`] tells them apart by its hash.
    pub fn slug(&self) -> String {
        let mapped: String = self
            .0
            .chars()
            .take(40)
            .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
            .collect();
        mapped.trim_end_matches('-').to_owned()
    }
}

impl FromStr for ModelName {
    type Err = InvalidModelName;

    fn from_str(text: &str) -> Result<Self, InvalidModelName> {
        let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric());
        let spelled_well = text.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | ':' | '/'));
        if starts_well && spelled_well && text.len() <= 63 {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidModelName(text.chars().take(80).collect()))
        }
    }
}

impl TryFrom<String> for ModelName {
    type Error = InvalidModelName;

    fn try_from(text: String) -> Result<Self, InvalidModelName> {
        text.parse()
    }
}

impl From<ModelName> for String {
    fn from(name: ModelName) -> Self {
        name.0
    }
}

impl fmt::Display for ModelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// Where replicas may run.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PlacementRules {
    /// One entry for each replica that must run on that node; the replicas beyond them run anywhere.
    pub pinned: Vec<NodeName>,
    /// Labels that a node must carry.
    pub selector: BTreeMap<String, String>,
    /// The label of nodes over whose values replicas are spread, such as `topology.kubernetes.io/zone`; `None` spreads them
    /// over nodes.
    pub spread: Option<String>,
    /// Accelerators that each replica has for itself.
    pub accelerators: Option<AcceleratorRequest>,
}

/// Accelerators of one kind, as one replica has them for itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AcceleratorRequest {
    /// What a node calls them: `nvidia.com/gpu`.
    pub name: String,
    /// How many.
    pub count: u32,
}

impl AcceleratorRequest {
    /// The most of one replica: no machine has more.
    pub const MOST: u32 = 64;
}

/// A LoRA adapter: a small change of a model's weights that a request may ask for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Adapter {
    /// What clients ask for in place of the model's name; unique in a cluster as that is.
    pub name: ModelName,
    /// Where its bytes come from: a GGUF file made for this model.
    pub source: ModelUrl,
    /// What the bytes must hash to; `None` trusts the source's own digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<Digest>,
}

/// How nodes keep the files of a model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheRules {
    /// Whether files stay on the nodes that have them while no worker there uses them, whatever else needs the room.
    pub pin: bool,
}

/// A model as desired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelSpec {
    /// The alias clients ask for; unique in a cluster.
    pub name: ModelName,
    /// Further names that clients may ask for it by, unique like the first.
    pub aliases: BTreeSet<ModelName>,
    /// Where its bytes come from.
    pub source: ModelUrl,
    /// What the bytes must hash to; `None` trusts the source's own digest.
    pub digest: Option<Digest>,
    /// What the source asks for.
    pub credentials: Option<Credentials>,
    /// How many workers shall serve it. Under autoscaling, how many where the demand is not known.
    pub replicas: u32,
    /// The bounds within which the replicas follow the demand; `None` keeps to `replicas`.
    pub autoscaling: Option<Autoscaling>,
    /// How each of them runs it.
    pub engine: EngineSettings,
    /// Changes of its weights that requests may ask for by name.
    pub adapters: Vec<Adapter>,
    /// Bytes of memory that each of them is promised; `None` takes what the model's header and the settings come to.
    pub memory: Option<u64>,
    /// Where they may run.
    pub placement: PlacementRules,
    /// Who comes first where memory is short: the larger number. A model may take the place of replicas of a lesser one.
    pub priority: i32,
    /// How workers of an earlier revision are replaced.
    pub rollout: Rollout,
    /// How nodes keep its files.
    pub cache: CacheRules,
    /// Workers that go first when there are more than `replicas`; ids that no longer exist mean nothing.
    pub retire: Vec<WorkerId>,
}

impl ModelSpec {
    /// The most further names.
    pub const MOST_ALIASES: usize = 16;
    /// The most adapters: each takes memory of every worker.
    pub const MOST_ADAPTERS: usize = 32;
    /// The least memory that a worker may be promised: a number without its unit is told, not tried.
    pub const LEAST_MEMORY: u64 = 1 << 20;
    /// The largest priority; its negative is the least.
    pub const MOST_PRIORITY: i32 = 1_000_000;

    /// One replica of `source` under `name`, everything else left to Clowder.
    pub fn new(name: ModelName, source: ModelUrl) -> Self {
        Self {
            name,
            aliases: BTreeSet::new(),
            source,
            digest: None,
            credentials: None,
            replicas: 1,
            autoscaling: None,
            engine: EngineSettings::default(),
            adapters: Vec::new(),
            memory: None,
            placement: PlacementRules::default(),
            priority: 0,
            rollout: Rollout::default(),
            cache: CacheRules::default(),
            retire: Vec::new(),
        }
    }

    /// All names that clients may ask for it by, its own first and those of its adapters last.
    pub fn names(&self) -> impl Iterator<Item = &ModelName> {
        std::iter::once(&self.name).chain(&self.aliases).chain(self.adapters.iter().map(|adapter| &adapter.name))
    }

    /// The files that a worker needs beside the model's own: those of the adapters, and the draft model's.
    pub fn companions(&self) -> impl Iterator<Item = (&ModelUrl, Option<&Digest>)> {
        let adapters = self.adapters.iter().map(|adapter| (&adapter.source, adapter.digest.as_ref()));
        adapters.chain(self.engine.draft.iter().map(|draft| (&draft.source, draft.digest.as_ref())))
    }

    /// The model as its workers on trial run it, where any do.
    pub fn on_trial(&self) -> Option<Self> {
        let canary = self.rollout.canary.as_ref()?;
        let rollout = Rollout { canary: None, ..self.rollout.clone() };
        Some(Self { engine: canary.engine.clone(), rollout, ..self.clone() })
    }

    /// The model as workers of this revision run it, its own or those on trial; `None` where neither do.
    pub fn of_revision(self: &Arc<Self>, revision: Revision) -> Option<Arc<Self>> {
        if self.revision() == revision {
            return Some(Arc::clone(self));
        }
        self.on_trial().filter(|trial| trial.revision() == revision).map(Arc::new)
    }

    /// A hash of all that a running worker depends on (name, source, digest, engine settings, adapters, memory and
    /// accelerators, not the counts, rules and further names).
    /// Workers of another revision are replaced. FNV-1a over 64 bits, folded to 32: it names, it does not protect.
    pub fn revision(&self) -> Revision {
        let EngineSettings { context, slots, kv_type, threads, gpu_layers, draft, extra } = &self.engine;
        let mut text = format!(
            "{}\n{}\n{:?}\nEngineSettings {{ context: {context:?}, slots: {slots:?}, kv_type: {kv_type:?}, threads: \
             {threads:?}, gpu_layers: {gpu_layers:?} }}",
            self.name, self.source, self.digest
        );
        // Where none is given the revision is that of before there were these fields: a new version replaces no worker.
        let given = (self.memory, &self.placement.accelerators);
        if given != (None, &None) {
            text.push_str(&format!("\n{given:?}"));
        }
        let given = (draft, extra, &self.adapters);
        if given != (&None, &BTreeMap::new(), &Vec::new()) {
            text.push_str(&format!("\n{given:?}"));
        }
        let hash = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        Revision(((hash >> 32) ^ (hash & 0xffff_ffff)) as u32)
    }
}

/// Names one way of running a model; see [`ModelSpec::revision`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Revision(pub u32);

impl fmt::Display for Revision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec() -> ModelSpec {
        ModelSpec::new("kitten".parse().unwrap(), "builtin:kitten".parse().unwrap())
    }

    fn adapter() -> Adapter {
        Adapter { name: "pirate".parse().unwrap(), source: "file:///pirate.gguf".parse().unwrap(), digest: None }
    }

    #[test]
    fn a_revision_is_what_it_was_before_there_were_more_fields() {
        let mut full = spec();
        full.engine.context = Some(512);
        full.memory = Some(1 << 30);
        assert_eq!([spec().revision(), full.revision()].map(|revision| revision.to_string()), ["6b122fac", "46b70119"]);
    }

    #[test]
    fn a_trial_is_the_model_under_other_settings() {
        assert_eq!(spec().on_trial(), None);
        let mut trial = spec();
        trial.rollout.canary =
            Some(Canary { weight: 10, engine: EngineSettings { slots: Some(2), ..EngineSettings::default() } });
        let mut promoted = spec();
        promoted.engine.slots = Some(2);
        assert_eq!(trial.on_trial(), Some(promoted.clone()));
        let trial = Arc::new(trial);
        assert_eq!(trial.of_revision(spec().revision()), Some(trial.clone()));
        assert_eq!(trial.of_revision(promoted.revision()), Some(Arc::new(promoted)));
        assert_eq!(trial.of_revision(Revision(0)), None);
    }

    #[test]
    fn names_are_safe_everywhere() {
        for good in ["kitten", "Qwen2.5-0.5B", "smol:q4", "org/model", "7b"] {
            assert!(good.parse::<ModelName>().is_ok(), "{good}");
        }
        for bad in ["", "-x", "a b", "café", "a\n", "../x", &"x".repeat(64)] {
            assert!(bad.parse::<ModelName>().is_err(), "{bad:?}");
        }
        assert_eq!("Org/Model:Q4_K".parse::<ModelName>().unwrap().slug(), "org-model-q4-k");
    }

    #[test]
    fn a_source_makes_a_name() {
        let of = |url: &str| ModelName::of_source(&url.parse().unwrap()).map(|name| name.to_string()).ok();
        assert_eq!(of("https://h/a/_m+1.gguf?x=1").as_deref(), Some("m-1"));
        assert_eq!(of("hf://o/Repo-GGUF:Q4_K_M").as_deref(), Some("Repo-GGUF-Q4_K_M"));
        assert_eq!(of("file:///--.gguf"), None);
    }

    #[test]
    fn revision_follows_what_a_worker_depends_on() {
        let before = spec();
        let mut scaled = spec();
        scaled.replicas = 5;
        scaled.retire.push("kitten-0-1".parse().unwrap());
        scaled.aliases.insert("cat".parse().unwrap());
        scaled.priority = 7;
        scaled.rollout.surge = Some(0);
        scaled.rollout.canary = Some(Canary { weight: 10, engine: EngineSettings::default() });
        scaled.cache.pin = true;
        scaled.placement.spread = Some("zone".to_owned());
        assert_eq!(before.revision(), scaled.revision());
        let changes: [fn(&mut ModelSpec); 6] = [
            |spec| spec.engine.slots = Some(2),
            |spec| spec.engine.draft = Some(Draft::new("builtin:kitten".parse().unwrap())),
            |spec| drop(spec.engine.extra.insert("flash_attn".to_owned(), "on".to_owned())),
            |spec| spec.adapters.push(adapter()),
            |spec| spec.memory = Some(1 << 30),
            |spec| spec.placement.accelerators = Some(AcceleratorRequest { name: "gpu".to_owned(), count: 1 }),
        ];
        for change in changes {
            let mut changed = spec();
            change(&mut changed);
            assert_ne!(before.revision(), changed.revision());
        }
    }
}
