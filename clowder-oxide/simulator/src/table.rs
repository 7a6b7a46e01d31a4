//! What there is of one kind, found by name or id.

use crate::refusal::{Kind, Refusal};
use oxide::types::NameOrId;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Something with a name that is its own within its parent.
pub(crate) trait Resource {
    /// What it is.
    const KIND: Kind;
    /// Its id.
    fn id(&self) -> Uuid;
    /// Its name.
    fn name(&self) -> &str;
    /// The project or VPC it is in; `None` for what belongs to the silo.
    fn parent(&self) -> Option<Uuid>;
}

/// All of one kind.
#[derive(Clone, Debug)]
pub(crate) struct Table<T>(BTreeMap<Uuid, T>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Resource> Table<T> {
    /// Whether the name is free.
    pub(crate) fn check_free(&self, parent: Option<Uuid>, name: &str) -> Result<(), Refusal> {
        match self.0.values().any(|row| row.parent() == parent && row.name() == name) {
            true => Err(Refusal::Exists { kind: T::KIND, name: name.to_owned() }),
            false => Ok(()),
        }
    }

    /// Adds one whose name is free.
    pub(crate) fn insert(&mut self, row: T) -> Result<&mut T, Refusal> {
        self.check_free(row.parent(), row.name())?;
        Ok(self.0.entry(row.id()).insert_entry(row).into_mut())
    }

    pub(crate) fn get(&self, id: Uuid) -> Result<&T, Refusal> {
        self.0.get(&id).ok_or(Refusal::NoSuchId { kind: T::KIND, id })
    }

    pub(crate) fn get_mut(&mut self, id: Uuid) -> Result<&mut T, Refusal> {
        self.0.get_mut(&id).ok_or(Refusal::NoSuchId { kind: T::KIND, id })
    }

    pub(crate) fn remove(&mut self, id: Uuid) -> Option<T> {
        self.0.remove(&id)
    }

    /// The one of this name.
    pub(crate) fn named(&self, parent: Option<Uuid>, name: &str) -> Result<&T, Refusal> {
        let found = self.0.values().find(|row| row.parent() == parent && row.name() == name);
        found.ok_or_else(|| Refusal::NoSuchName { kind: T::KIND, name: name.to_owned() })
    }

    /// The one that is meant, where the parent is known.
    pub(crate) fn within(&self, parent: Uuid, item: &NameOrId) -> Result<&T, Refusal> {
        match item {
            NameOrId::Id(id) => self.get(*id),
            NameOrId::Name(name) => self.named(Some(parent), name),
        }
    }

    /// All, in no order that means anything.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.values()
    }

    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.0.values_mut()
    }

    /// Those in a parent.
    pub(crate) fn of(&self, parent: Uuid) -> impl Iterator<Item = &T> {
        self.0.values().filter(move |row| row.parent() == Some(parent))
    }
}
