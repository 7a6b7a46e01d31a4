use super::*;

fn image(name: &str) -> ImageSpec {
    ImageSpec { name: name.to_owned(), source: None }
}

/// Three servers and two pools, one with large machines.
pub(crate) fn spec() -> ClusterSpec {
    let pool = |prefix: &str, memory_gib| WorkerPool {
        machines: PoolSpec {
            prefix: prefix.parse().unwrap(),
            memory_gib,
            data_disks_gib: vec![100],
            max: 50,
            ..PoolSpec::default()
        },
        image: image("debian-12"),
        external_ip: ExternalIp::None,
        labels: BTreeMap::new(),
    };
    ClusterSpec {
        id: "home".parse().unwrap(),
        project: "clowder".to_owned(),
        missing_project: MissingProject::Create,
        network: Network::default(),
        ssh_keys: Vec::new(),
        servers: Servers {
            count: 3,
            machines: PoolSpec {
                prefix: "clowder-control-plane-".parse().unwrap(),
                vcpus: 2,
                memory_gib: 4,
                ..PoolSpec::default()
            },
            image: image("debian-12"),
            external_ip: ExternalIp::Ephemeral,
        },
        pools: BTreeMap::from([
            ("large".into(), pool("clowder-large-", 256)),
            ("workers".into(), pool("clowder-worker-", 16)),
        ]),
    }
}

fn refused(change: impl FnOnce(&mut ClusterSpec)) -> String {
    let mut spec = spec();
    change(&mut spec);
    Cluster::new(spec).unwrap_err().to_string()
}

#[test]
fn what_cannot_be_is_refused_in_one_line() {
    assert!(Cluster::new(spec()).is_ok());
    let source = |url: &str, block_size| Some(ImageSource { url: url.parse().unwrap(), block_size });
    let refusals = [
        refused(|spec| spec.servers.count = 2),
        refused(|spec| spec.servers.count = 9),
        refused(|spec| spec.project = "My Project".to_owned()),
        refused(|spec| spec.servers.machines.vcpus = 65),
        refused(|spec| spec.servers.machines.prefix = "clowder-worker-".parse().unwrap()),
        refused(|spec| spec.servers.image.source = source("ftp://images/debian.raw", 512)),
        refused(|spec| spec.servers.image = ImageSpec { name: "other".to_owned(), source: source("http://i/", 1000) }),
        refused(|spec| spec.servers.image.source = source("http://images/debian.raw", 512)),
    ];
    insta::assert_snapshot!(refusals.join("\n"));
    assert!("".parse::<ClusterId>().is_err());
    assert!("a-".parse::<ClusterId>().is_err());
}
