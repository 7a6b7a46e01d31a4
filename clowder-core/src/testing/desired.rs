//! For [`DesiredStore`]: an in-memory one, and the suite.

use super::eventually;
use crate::desired::{Change, DesiredError, DesiredModel, DesiredModels, DesiredStore, NameTaken, check_names};
use crate::model::{AcceleratorRequest, ModelName, ModelSpec};
use crate::secret::Credentials;
use crate::{BoxError, BoxStream};
use async_trait::async_trait;
use std::sync::Arc;
use tokio::sync::watch;

/// Desired state that ends with the process.
pub struct InMemoryDesired(watch::Sender<Arc<DesiredModels>>);

impl InMemoryDesired {
    /// One that desires nothing.
    pub fn new() -> Self {
        Self(watch::channel(Arc::default()).0)
    }
}

impl Default for InMemoryDesired {
    fn default() -> Self {
        Self::new()
    }
}

#[async_trait]
impl DesiredStore for InMemoryDesired {
    async fn list(&self) -> Result<Arc<DesiredModels>, DesiredError> {
        Ok(self.0.borrow().clone())
    }

    async fn update(&self, name: &ModelName, change: Change) -> Result<Option<DesiredModel>, DesiredError> {
        let mut outcome = Ok(None);
        self.0.send_if_modified(|models| {
            let records: &DesiredModels = models;
            let before = records.get(name);
            let named = |spec: ModelSpec| check_names(records, &spec).map(|()| spec).map_err(BoxError::from);
            let wanted = change(before.map(|model| model.spec.as_ref()));
            let after = match wanted.and_then(|after| after.map(named).transpose()) {
                Ok(after) => after,
                Err(error) => {
                    outcome = Err(DesiredError::Rejected(error));
                    return false;
                }
            };
            if before.map(|model| model.spec.as_ref()) == after.as_ref() {
                outcome = Ok(before.cloned());
                return false;
            }
            let generation = before.map_or(0, |model| model.generation) + 1;
            let after = after.map(|spec| DesiredModel { spec: Arc::new(spec), generation });
            outcome = Ok(after.clone());
            match after {
                Some(model) => drop(Arc::make_mut(models).insert(name.clone(), model)),
                None => drop(Arc::make_mut(models).remove(name)),
            }
            true
        });
        outcome
    }

    fn watch(&self) -> BoxStream<Arc<DesiredModels>> {
        super::updates(self.0.subscribe())
    }
}

/// The suite, on an empty store. Leaves one record behind, `kept`, with credentials.
///
/// # Panics
/// Where the store does not keep to the trait's word.
pub async fn conformance(store: &dyn DesiredStore) {
    let name: ModelName = "kept".parse().expect("a name");
    let spec = ModelSpec::new(name.clone(), "builtin:kitten".parse().expect("a URL"));
    assert!(store.list().await.expect("a list").is_empty(), "empty at the beginning");

    let put = |spec: &ModelSpec| -> Change {
        let spec = spec.clone();
        Box::new(move |_| Ok(Some(spec)))
    };
    let made = store.update(&name, put(&spec)).await.expect("made").expect("there");
    assert_eq!(made.generation, 1);
    let same = store.update(&name, put(&spec)).await.expect("again").expect("there");
    assert_eq!(same.generation, 1, "no change, no generation");
    let raise: Change = Box::new(|before: Option<&ModelSpec>| {
        let mut spec = before.expect("the record is given").clone();
        spec.replicas += 2;
        spec.credentials = Some(Credentials::bearer("s3cret"));
        spec.placement.pinned.push("a".into());
        spec.engine.slots = Some(3);
        spec.aliases.insert("also".parse().expect("a name"));
        spec.memory = Some(6 << 30);
        spec.priority = -7;
        spec.rollout.surge = Some(0);
        spec.placement.spread = Some("topology.kubernetes.io/zone".to_owned());
        spec.placement.accelerators = Some(AcceleratorRequest { name: "nvidia.com/gpu".to_owned(), count: 2 });
        Ok(Some(spec))
    });
    let changed = store.update(&name, raise).await.expect("changed").expect("there");
    assert_eq!((changed.generation, changed.spec.replicas), (2, 3));

    let refuse: Change = Box::new(|_| Err(BoxError::from("no")));
    let refused = store.update(&name, refuse).await;
    assert!(matches!(refused, Err(DesiredError::Rejected(_))), "{refused:?}");
    assert_eq!(store.list().await.expect("a list").get(&name), Some(&changed), "refused changes nothing");

    let gone: ModelName = "gone".parse().expect("a name");
    let mut other = spec.clone();
    other.name = gone.clone();
    let named = |name: &str, alias: &str| {
        let mut claim = spec.clone();
        (claim.name, claim.aliases) = (name.parse().expect("a name"), [alias.parse().expect("a name")].into());
        claim
    };
    for (claim, taken) in
        [(named("also", "new"), "also"), (named("gone", "kept"), "kept"), (named("gone", "also"), "also")]
    {
        let refused = store.update(&claim.name, put(&claim)).await;
        let expected = NameTaken { name: taken.parse().expect("a name"), by: name.clone() };
        let told = matches!(&refused, Err(DesiredError::Rejected(why)) if why.downcast_ref() == Some(&expected));
        assert!(told, "a name has one model: {refused:?}");
    }
    store.update(&gone, put(&other)).await.expect("made");
    let both = |models: &Arc<DesiredModels>| models.len() == 2;
    eventually(store.watch(), "both records", both).await;
    let removed = store.update(&gone, Box::new(|_| Ok(None))).await.expect("removed");
    assert_eq!(removed, None);
    let again = store.update(&gone, Box::new(|_| Ok(None))).await.expect("removing what is not there is no error");
    assert_eq!(again, None);
    let left = eventually(store.watch(), "one record", |models| models.len() == 1).await;
    assert_eq!(left.get(&name), Some(&changed), "the watch gives what was recorded, credentials included");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn in_memory_conforms() {
        conformance(&InMemoryDesired::new()).await;
    }
}
