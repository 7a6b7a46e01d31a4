use super::*;
use clowder_core::testing::InMemorySource;

#[tokio::test]
async fn a_disk_without_the_room_is_said_before_a_byte_is_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let url: ModelUrl = "memory:m".parse().unwrap();
    let source = InMemorySource::new([(url.clone(), vec![7; 1000])]);
    let config = CacheConfig::new("here".into(), folder.path());
    let cache = Cache::open_with(config, source, Arc::new(|_: &Path| Ok(999))).await.unwrap();
    let error = cache.pull(url.into(), watch::channel(FetchProgress::default()).0).await.unwrap_err();
    assert!(matches!(error, StoreError::NoSpace { needed: 1000, free: 999, .. }), "{error}");
    assert_eq!(cache.activity().received, 0);
}

#[tokio::test]
async fn entries_of_other_tools_stay_in_the_index() {
    let folder = tempfile::tempdir().unwrap();
    let foreign = r#"{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"sha256:0000000000000000000000000000000000000000000000000000000000000000","size":3,"annotations":{"org.opencontainers.image.ref.name":"latest"}}"#;
    let index = format!(r#"{{"schemaVersion":2,"manifests":[{foreign}]}}"#);
    std::fs::write(folder.path().join("index.json"), index).unwrap();
    let url: ModelUrl = "memory:m".parse().unwrap();
    let source = InMemorySource::new([(url.clone(), vec![7; 1000])]);
    let cache = Cache::open(CacheConfig::new("here".into(), folder.path()), source).await.unwrap();
    cache.pull(url.clone().into(), watch::channel(FetchProgress::default()).0).await.unwrap();
    cache.forget(&url).await.unwrap();
    let index: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.path().join("index.json")).unwrap()).unwrap();
    assert_eq!(index["manifests"], serde_json::json!([serde_json::from_str::<serde_json::Value>(foreign).unwrap()]));
}
