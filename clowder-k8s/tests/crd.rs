//! The published contract: the resource's definition, and the example of the front page.

use clowder_core::secret::CredentialsKind;
use clowder_k8s::model::{CredentialsReference, Model, SecretKeyReference, Spec};
use kube::CustomResourceExt;
use serde::Serialize;
use std::path::Path;

fn yaml(value: &impl Serialize) -> String {
    serde_saphyr::to_string(value).expect("YAML")
}

/// What is applied to clusters is a file, so that a change of it shows in a review. `UPDATE_CRD=1` writes it.
#[test]
fn the_definition_is_the_one_in_the_repository() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("crd/models.yaml");
    let generated = format!("# Generated from clowder-k8s/src/model.rs; its test compares.\n{}", yaml(&Model::crd()));
    if std::env::var_os("UPDATE_CRD").is_some() {
        std::fs::write(&path, &generated).expect("written");
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(committed == generated, "crd/models.yaml is not what the types say: run this test with UPDATE_CRD=1");
}

/// The schema's parts that a cluster enforces and no type of Rust does.
#[test]
fn the_definition_guards_what_it_should() {
    let crd = serde_json::to_value(Model::crd()).expect("JSON");
    let version = &crd["spec"]["versions"][0];
    let spec = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
    assert_eq!(spec["required"], serde_json::json!(["source"]));
    assert_eq!(spec["properties"]["source"]["x-kubernetes-validations"][0]["rule"], "self == oldSelf");
    assert!(spec["x-kubernetes-validations"][0]["rule"].as_str().is_some_and(|rule| rule.contains("oldSelf.alias")));
    let root = &version["schema"]["openAPIV3Schema"]["x-kubernetes-validations"];
    assert!(root[0]["rule"].as_str().is_some_and(|rule| rule.contains("self.metadata.name")));
    assert_eq!(spec["properties"]["autoscaling"]["required"], serde_json::json!(["max"]));
    assert_eq!(spec["properties"]["replicas"]["minimum"], 0.0);
    let aliases = &spec["properties"]["aliases"];
    assert_eq!((&aliases["maxItems"], &aliases["x-kubernetes-list-type"]), (&16.into(), &"set".into()));
    assert_eq!(aliases["items"]["pattern"], spec["properties"]["alias"]["pattern"]);
    assert!(spec["x-kubernetes-validations"][2]["rule"].as_str().is_some_and(|rule| rule.contains("in self.aliases")));
    assert!(root[1]["rule"].as_str().is_some_and(|rule| rule.contains("self.metadata.name in self.spec.aliases")));
    let memory = &spec["properties"]["resources"]["properties"]["memory"];
    assert_eq!((&memory["x-kubernetes-int-or-string"], memory.get("type")), (&true.into(), None));
    assert!(memory["pattern"].as_str().is_some_and(|pattern| pattern.contains("[KMGTPE]i")));
    let columns = version["additionalPrinterColumns"].as_array().expect("columns");
    let desired = columns.iter().find(|column| column["name"] == "Desired").expect("the column");
    let status = &version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"];
    assert_eq!(
        (&desired["jsonPath"], &status["desiredReplicas"]["type"]),
        (&".status.desiredReplicas".into(), &"integer".into())
    );
    let priority = &spec["properties"]["priority"];
    assert_eq!((&priority["minimum"], &priority["maximum"]), (&(-1e6).into(), &1e6.into()));
    let placement = &spec["properties"]["placement"]["properties"];
    assert_eq!(placement["accelerators"]["required"], serde_json::json!(["count", "name"]));
    let count = &placement["accelerators"]["properties"]["count"];
    assert_eq!((&count["minimum"], &count["maximum"]), (&1.0.into(), &64.0.into()));
    assert_eq!(placement["accelerators"]["x-kubernetes-validations"].as_array().map(Vec::len), Some(1));
    assert_eq!(spec["properties"]["rollout"]["properties"]["surge"]["maximum"], 1000.0);
    assert_eq!(version["subresources"]["scale"]["specReplicasPath"], ".spec.replicas");
    assert_eq!(version["subresources"]["scale"]["statusReplicasPath"], ".status.replicas");
    assert!(version["subresources"]["status"].is_object());
}

#[test]
fn the_front_pages_example_is_a_model() {
    let mut spec = Spec::new("hf://unsloth/SmolLM2-135M-Instruct-GGUF:Q4_K_M");
    let secret_key_ref = SecretKeyReference { name: "hugging-face".into(), key: "token".into() };
    spec.credentials = Some(CredentialsReference { kind: CredentialsKind::Bearer, secret_key_ref });
    spec.replicas = Some(2);
    spec.engine.context = Some(4096);
    let example = yaml(&Model::new("smol", spec));
    assert!(
        include_str!("../README.md").contains(example.trim_end()),
        "README.md shows another model than this:\n{example}"
    );
}
