//! A large cluster.

use super::*;

/// 1,000 nodes on which 100 models have 100 replicas each.
fn large() -> (Vec<Wanted>, Inventory) {
    let nodes = (0..1000).map(|i| Node::with_memory(format!("node-{i:04}").as_str(), 20 * GIB));
    let nodes = nodes.map(|node| (node.name.clone(), Arc::new(node))).collect();
    let models = (0..100).map(|i| wanted(spec(&format!("model-{i:02}"), 100), 2 * GIB));
    (models.collect(), Inventory { nodes, ..Inventory::default() })
}

#[test]
fn is_filled_evenly_in_one_plan_and_then_left_alone() {
    let (models, mut inventory) = large();
    let plan = MemoryFit.plan(&models, &inventory);
    assert_eq!((plan.actions.len(), plan.unplaced.len()), (10_000, 0));
    carry_out(&plan, &mut inventory);
    let on_each = inventory.workers.values().fold(BTreeMap::new(), |mut counts: BTreeMap<_, u32>, worker| {
        *counts.entry(&worker.node).or_default() += 1;
        counts
    });
    assert_eq!((on_each.len(), on_each.values().max()), (1000, Some(&10)));
    assert_eq!(MemoryFit.plan(&models, &inventory), Plan::default());
}

#[test]
fn gives_way_to_a_higher_priority_in_one_plan() {
    let (mut models, mut inventory) = large();
    carry_out(&MemoryFit.plan(&models, &inventory), &mut inventory);
    let mut high = spec("high", 1000);
    high.priority = 1;
    models.push(wanted(high, 10 * GIB));
    let plan = MemoryFit.plan(&models, &inventory);
    assert_eq!(plan.actions.len(), 5000, "five on each node");
    let plan = settle(&models, &mut inventory);
    let lacking: u32 = plan.unplaced.iter().map(|unplaced| unplaced.replicas).sum();
    assert_eq!((lacking, inventory.workers.len()), (5000, 6000));
}
