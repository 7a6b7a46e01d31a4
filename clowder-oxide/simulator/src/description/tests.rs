use super::*;
use serde_json::json;
use std::collections::BTreeSet;

fn answer(status: u16, body: Option<Value>) -> Answer {
    Answer { status: StatusCode::from_u16(status).unwrap(), body, retry_after: None }
}

fn project() -> Value {
    json!({
        "id": "9b1c6d2e-5d1f-4a6b-8c3a-1f2e3d4c5b6a", "name": "cats", "description": "",
        "time_created": "2026-01-01T00:00:00Z", "time_modified": "2026-01-01T00:00:00Z",
    })
}

#[test]
fn all_operations_are_described() {
    let described: BTreeSet<Operation> = DESCRIPTION.operations.iter().map(|described| described.operation).collect();
    assert_eq!(described, Operation::ALL.iter().copied().collect());
}

#[test]
fn a_wrong_answer_is_found() {
    let check = |answer: &Answer| DESCRIPTION.faults_of(Some(Operation::ProjectView), answer);
    assert!(check(&answer(200, Some(project()))).is_empty());
    for (field, wrong) in [
        ("id", json!("none")),
        ("name", json!("9b1c6d2e-5d1f-4a6b-8c3a-1f2e3d4c5b6a")),
        ("name", json!("Capital")),
        ("time_created", json!("yesterday")),
        ("description", Value::Null),
    ] {
        let mut body = project();
        body[field] = wrong.clone();
        let found = check(&answer(200, Some(body)));
        assert!(found.len() == 1 && found[0].starts_with("project_view, 200 OK: "), "{field} {wrong}: {found:?}");
    }
    assert_eq!(check(&answer(201, Some(project()))), ["project_view never answers 201 Created"]);
    assert_eq!(check(&answer(200, None)).len(), 1);
    assert_eq!(check(&answer(404, Some(json!({ "message": "no id" })))).len(), 1);
    assert_eq!(DESCRIPTION.faults_of(Some(Operation::DiskDelete), &answer(204, Some(json!({})))).len(), 1);
}

#[test]
fn one_of_several_shapes_and_no_other() {
    let read = |body: Value| {
        let (path, body) = ("/v1/disks", body.to_string());
        DESCRIPTION.read(&Method::POST, path, Some("project=cats"), body.as_bytes()).map(|(operation, _)| operation)
    };
    let disk = |source: Value| {
        let backend = json!({ "type": "distributed", "disk_source": source });
        json!({ "name": "d", "description": "", "size": 1_073_741_824, "disk_backend": backend })
    };
    assert_eq!(read(disk(json!({ "type": "blank", "block_size": 512 }))).unwrap(), Operation::DiskCreate);
    assert!(read(disk(json!({ "type": "blank", "block_size": 513 }))).is_err());
    assert!(read(disk(json!({ "type": "tape", "block_size": 512 }))).is_err());
    assert!(read(disk(json!({ "type": "image" }))).is_err());
}

#[test]
fn null_is_taken_only_where_it_is_allowed() {
    let read = |body: Value| {
        let (path, body) = ("/v1/floating-ips/f", body.to_string());
        DESCRIPTION.read(&Method::PUT, path, Some("project=cats"), body.as_bytes()).is_ok()
    };
    assert!(read(json!({ "name": null, "description": null })));
    assert!(read(json!({ "name": "g" })));
    assert!(!read(json!({ "name": 1 })));
    let project = json!({ "name": "cats", "description": null }).to_string();
    assert!(DESCRIPTION.read(&Method::POST, "/v1/projects", None, project.as_bytes()).is_err());
}
