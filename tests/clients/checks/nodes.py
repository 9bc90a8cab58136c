"""Nodes and demand.

NodeService, CapacityService.
"""

from checks.library import STORE
from cluster import Cluster
from report import expect, expect_equal


def everybody_is_listed(cluster: Cluster) -> None:
    """ListNodes shows watcher, tagger and embedder online with address, device and proof."""
    listed = {node["name"]: node for node in cluster.store("NodeService", "ListNodes")["nodes"]}
    for name, role in (("watchers/here", "watcher"), ("nodes/here-tagger", "tagger"),
                       ("nodes/here-embedder", "embedder")):
        node = listed[name]
        expect_equal((node["role"], node.get("online")), (role, True), name)
        expect(node["address"].endswith(cluster.address(role)), node)
        if role != "watcher":
            expect_equal(node["deviceClass"], "DEVICE_CLASS_CPU", name)
            expect(node["deviceProof"] and node["models"], node)


def capacity_is_asked_for(cluster: Cluster) -> None:
    """RequestCapacity holds for ten minutes, names the nodes online, and counts as demand."""
    for kind, name in (("MODEL_KIND_TAG", "nodes/here-tagger"), ("MODEL_KIND_EMBED", "nodes/here-embedder")):
        answer = cluster.store("CapacityService", "RequestCapacity", {"kind": kind})
        expect_equal(answer["held"], "600s")
        expect(name in [node["name"] for node in answer["nodes"]], answer)
        demand = cluster.client("store").stream(f"{STORE}.CapacityService/WatchDemand", most=1)[0]["demands"]
        waiting = [one for one in demand if one["kind"] == kind]
        expect(waiting and int(waiting[0]["interactive"]) >= 1, demand)
    error = cluster.client("store").refused(f"{STORE}.CapacityService/RequestCapacity", {})
    expect_equal(error.code, "INVALID_ARGUMENT")


def nodes_are_registered(cluster: Cluster) -> None:
    """RegisterNode takes a node of ours; bad names and unknown models are refused."""
    node = {"node": "outside-idle", "incarnation": "1", "kind": "MODEL_KIND_EMBED", "models": [],
            "deviceClass": "DEVICE_CLASS_XPU", "deviceProof": "said so", "version": "0"}
    cluster.store("NodeService", "RegisterNode", node)
    listed = {one["name"]: one for one in cluster.store("NodeService", "ListNodes")["nodes"]}
    shown = listed["nodes/outside-idle"]
    expect_equal((shown["role"], shown["deviceClass"], shown["deviceProof"]),
                 ("embedder", "DEVICE_CLASS_XPU", "said so"))
    for change, code in (({"node": "a b"}, "INVALID_ARGUMENT"), ({"models": ["models/99"]}, "NOT_FOUND"),
                         ({"kind": "MODEL_KIND_UNSPECIFIED"}, "INVALID_ARGUMENT")):
        error = cluster.client("store").refused(f"{STORE}.NodeService/RegisterNode", node | change)
        expect_equal(error.code, code, str(change))


CHECKS = (everybody_is_listed, capacity_is_asked_for, nodes_are_registered)
