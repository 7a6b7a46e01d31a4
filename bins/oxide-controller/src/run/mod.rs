//! What the program does, from its command line to its end.

mod connect;
mod destroy;
mod keep;
mod secrets;

use crate::cluster::{Access, ClusterSizes, Kept, KubeNodes};
use crate::error::Error;
use crate::flags::Typed;
use crate::progress::Lines;
use crate::settings::{Settings, WORKERS};
use crate::state::State;
use clowder_core::infra::PoolName;
use clowder_oxide::bootstrap::{ClusterSecrets, ClusterSetup};
use clowder_oxide::{InMemorySizes, Parts, PoolSizes, Rack, Reconciler, SeenServers, Sizes, servers};
use std::sync::Arc;

/// What the program works with.
struct Program {
    typed: Typed,
    settings: Settings,
    rack: Rack,
    access: Arc<Access>,
    kept: Kept,
}

/// Does what the command line says.
pub(crate) async fn run(typed: Typed) -> Result<(), Error> {
    let settings = Settings::new(&typed, &|name| std::env::var_os(name))?;
    let controller = &typed.flags.controller;
    if let Some(named) = controller.destroy.as_deref().filter(|named| *named != settings.id().as_str()) {
        return Err(Error::OtherCluster { named: named.to_owned(), cluster: settings.id().clone() });
    }
    let spec = settings.cluster.spec();
    let rack = Rack::new(&settings.login, &spec.project, &spec.network)?;
    let access = if controller.in_cluster.is_on() { Access::in_cluster()? } else { Access::none() };
    let kept =
        Kept { namespace: controller.control_plane_namespace.clone(), name: controller.control_plane_secret.clone() };
    let program = Program { settings, rack, access: Arc::new(access), kept, typed };
    if program.typed.flags.controller.dry_run.is_on() {
        program.foresee().await
    } else if program.typed.flags.controller.destroy.is_some() {
        program.destroy().await
    } else {
        Box::pin(program.keep()).await
    }
}

impl Program {
    /// The servers that there are. It is also how a wrong token or a rack that does not answer is found first.
    async fn servers(&self) -> Result<SeenServers, Error> {
        Ok(servers(&self.rack, &self.settings.cluster).await?)
    }

    fn is_in_cluster(&self) -> bool {
        self.typed.flags.controller.in_cluster.is_on()
    }

    fn state(&self) -> Result<State, Error> {
        let folder = &self.settings.state;
        Ok(if self.is_in_cluster() { State::mounted(folder) } else { State::open(folder, self.settings.id())? })
    }

    /// How many workers there shall be, where the command line says.
    fn asked(&self) -> Sizes {
        self.settings.workers.map(|workers| (PoolName::from(WORKERS), workers)).into_iter().collect()
    }

    fn sizes(&self, state: State) -> ClusterSizes {
        ClusterSizes { access: self.access.clone(), namespace: self.kept.namespace.clone(), state }
    }

    fn reconciler(&self, secrets: ClusterSecrets, sizes: Arc<dyn PoolSizes>) -> Reconciler {
        let settings = &self.settings;
        Reconciler::new(Parts {
            rack: self.rack.clone(),
            cluster: Arc::new(settings.cluster.clone()),
            setup: ClusterSetup {
                secrets,
                k3s: settings.k3s.clone(),
                ssh_keys: settings.ssh_keys.clone(),
                server_names: Vec::new(),
                tailscale: settings.tailnet.as_ref().map(|tailnet| tailnet.machines.clone()),
            },
            nodes: Arc::new(KubeNodes(self.access.clone())),
            sizes,
            limits: settings.limits.clone(),
            progress: Arc::new(Lines::default()),
        })
    }

    /// Prints what would be done. Nothing is made, on the rack or here.
    async fn foresee(&self) -> Result<(), Error> {
        let servers = self.servers().await?;
        let state = State::look(&self.settings.state, self.settings.id());
        let secrets = state.secrets()?;
        let sizes: Arc<dyn PoolSizes> = match &secrets {
            Some(secrets) if !servers.names.is_empty() => {
                if self.known(secrets).await?.is_none() {
                    self.open(secrets, &servers).await?;
                }
                let mut sizes = self.sizes(state).load().await.map_err(Error::Workers)?;
                sizes.extend(self.asked());
                Arc::new(InMemorySizes::new(sizes))
            }
            _ => Arc::new(InMemorySizes::new(self.asked())),
        };
        let secrets = secrets.map_or_else(ClusterSecrets::generate, Ok)?;
        let foreseen = self.reconciler(secrets, sizes).foresee().await.map_err(Error::DryRun)?;
        print!("{foreseen}");
        Ok(())
    }
}
