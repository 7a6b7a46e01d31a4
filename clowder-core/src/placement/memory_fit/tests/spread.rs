//! Replicas over the values of a label.

use super::*;

fn zoned(sizes: &[(&str, u64, Option<&str>)]) -> Inventory {
    let node = |&(name, memory, zone): &(&str, u64, Option<&str>)| {
        let mut node = Node::with_memory(name, memory);
        node.labels.extend(zone.map(|zone| ("zone".to_owned(), zone.to_owned())));
        (node.name.clone(), Arc::new(node))
    };
    Inventory { nodes: sizes.iter().map(node).collect(), ..Inventory::default() }
}

fn spread(replicas: u32) -> [Wanted; 1] {
    let mut spec = spec("m", replicas);
    spec.placement.spread = Some("zone".to_owned());
    [wanted(spec, GIB)]
}

#[test]
fn zones_come_before_nodes() {
    let sizes = [("a", 9 * GIB, Some("east")), ("b", 9 * GIB, Some("east")), ("c", 2 * GIB, Some("west"))];
    let mut inventory = zoned(&sizes);
    settle(&spread(4), &mut inventory);
    assert_eq!((on(&inventory, "a"), on(&inventory, "b"), on(&inventory, "c")), (1, 1, 2));
    settle(&spread(6), &mut inventory);
    assert_eq!((on(&inventory, "a"), on(&inventory, "b"), on(&inventory, "c")), (2, 2, 2), "a full zone takes no more");
}

#[test]
fn a_node_without_the_label_is_a_zone_of_its_own() {
    let mut inventory = zoned(&[("a", 9 * GIB, Some("a")), ("b", 9 * GIB, None), ("c", 9 * GIB, None)]);
    settle(&spread(3), &mut inventory);
    assert_eq!((on(&inventory, "a"), on(&inventory, "b"), on(&inventory, "c")), (1, 1, 1));
}

#[test]
fn workers_on_closed_nodes_count_for_their_zone() {
    let mut inventory = zoned(&[("a", GIB, Some("east")), ("b", 9 * GIB, Some("east")), ("c", 3 * GIB, Some("west"))]);
    settle(&spread(2), &mut inventory);
    assert_eq!(on(&inventory, "c"), 1);
    for node in inventory.nodes.values_mut().filter(|node| node.name.as_str() == "a") {
        Arc::make_mut(node).openness = Openness::Closed;
    }
    settle(&spread(4), &mut inventory);
    assert_eq!(on(&inventory, "c"), 2);
}

#[test]
fn within_a_zone_the_file_decides() {
    let mut inventory = zoned(&[("a", 9 * GIB, Some("east")), ("b", 2 * GIB, Some("east"))]);
    let with_file = inventory.nodes.get_mut(&"b".into()).unwrap();
    Arc::make_mut(with_file).cached.insert("builtin:kitten".parse().unwrap());
    settle(&spread(1), &mut inventory);
    assert_eq!(on(&inventory, "b"), 1);
}
