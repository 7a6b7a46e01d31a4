//! A rack with one project, its client, and bodies that differ in what a test is about.

use clowder_oxide_simulator::{Options, Simulator};
use futures::TryStreamExt;
use oxide::types::{
    BlockSize, ByteCount, DiskBackend, DiskCreate, DiskSource, Instance, InstanceCpuCount, InstanceCreate,
    InstanceDiskAttachment, InstanceNetworkInterfaceAttachment, InstanceState,
};
use oxide::{Client, ClientConfig, ClientInstancesExt, Error, types};

pub(crate) const GIB: u64 = 1 << 30;

/// The one project.
pub(crate) const PROJECT: &str = "cats";

pub(crate) async fn rack(options: Options) -> (Simulator, Client) {
    let rack = Simulator::start(Options { projects: vec![PROJECT.to_owned()], ..options }).await.unwrap();
    let client = client(&rack, rack.token());
    (rack, client)
}

pub(crate) fn client(rack: &Simulator, token: &str) -> Client {
    let config = ClientConfig::default().with_host_and_token(rack.url(), token);
    Client::new_authenticated_config(&config).unwrap()
}

pub(crate) fn disk(name: &str, gib: u64, source: DiskSource) -> DiskCreate {
    DiskCreate {
        description: String::new(),
        disk_backend: DiskBackend::Distributed(source),
        name: name.parse().unwrap(),
        size: ByteCount(gib * GIB),
    }
}

pub(crate) fn blank() -> DiskSource {
    DiskSource::Blank { block_size: block_size() }
}

pub(crate) fn block_size() -> BlockSize {
    512.try_into().unwrap()
}

pub(crate) fn new_disk(name: &str, gib: u64) -> InstanceDiskAttachment {
    let DiskCreate { description, disk_backend, name, size } = disk(name, gib, blank());
    InstanceDiskAttachment::Create { description, disk_backend, name, size }
}

/// 2 vCPUs, 8 GiB, a boot disk of 16 GiB; started.
pub(crate) fn instance(name: &str) -> InstanceCreate {
    InstanceCreate {
        anti_affinity_groups: Vec::new(),
        auto_restart_policy: None,
        boot_disk: Some(new_disk(&format!("root-{name}"), 16)),
        cpu_platform: None,
        description: String::new(),
        disks: Vec::new(),
        enable_jumbo_frames: false,
        external_ips: Vec::new(),
        hostname: name.parse().unwrap(),
        memory: ByteCount(8 * GIB),
        multicast_groups: Vec::new(),
        name: name.parse().unwrap(),
        ncpus: InstanceCpuCount(2),
        network_interfaces: InstanceNetworkInterfaceAttachment::DefaultDualStack,
        ssh_public_keys: Some(Vec::new()),
        start: true,
        user_data: String::new(),
    }
}

pub(crate) async fn create(client: &Client, body: InstanceCreate) -> Result<Instance, Error<types::Error>> {
    let made = client.instance_create().project(PROJECT).body(body).send().await?;
    Ok(made.into_inner())
}

pub(crate) async fn view(client: &Client, name: &str) -> Result<Instance, Error<types::Error>> {
    Ok(client.instance_view().project(PROJECT).instance(name).send().await?.into_inner())
}

pub(crate) async fn state(client: &Client, name: &str) -> InstanceState {
    view(client, name).await.unwrap().run_state
}

pub(crate) async fn stop(client: &Client, name: &str) -> Result<InstanceState, Error<types::Error>> {
    Ok(client.instance_stop().project(PROJECT).instance(name).send().await?.into_inner().run_state)
}

pub(crate) async fn start(client: &Client, name: &str) -> Result<InstanceState, Error<types::Error>> {
    Ok(client.instance_start().project(PROJECT).instance(name).send().await?.into_inner().run_state)
}

pub(crate) async fn delete(client: &Client, name: &str) -> Result<(), Error<types::Error>> {
    client.instance_delete().project(PROJECT).instance(name).send().await.map(|_| ())
}

pub(crate) async fn names(client: &Client) -> Vec<String> {
    let all = client.instance_list().project(PROJECT).stream();
    all.map_ok(|instance| instance.name.to_string()).try_collect().await.unwrap()
}

/// The status, the code and the message with which a call was refused.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(result: Result<T, Error<types::Error>>) -> (u16, String, String) {
    match result.unwrap_err() {
        Error::ErrorResponse(answer) => {
            let status = answer.status().as_u16();
            let error = answer.into_inner();
            (status, error.error_code.unwrap_or_default(), error.message)
        }
        other => panic!("not an answer of the API: {other}"),
    }
}

/// The call failed because the connection did.
#[track_caller]
pub(crate) fn cut<T: std::fmt::Debug>(result: Result<T, Error<types::Error>>) {
    let error = result.unwrap_err();
    assert!(matches!(error, Error::CommunicationError(_)), "{error}");
}
