"""Roots and files, told by a watcher of ours.

NodeService, PostService, LocationService.
"""

import base64
import hashlib

from checks.library import STORE, post, search
from cluster import Cluster
from report import expect, expect_equal

WATCHER = {"watcher": "outside-watcher", "incarnation": "5"}
ROOT = {"path": base64.b64encode(b"/outside/pictures").decode(), "state": "ROOT_STATE_ONLINE"}
SHA256 = hashlib.sha256(b"a picture elsewhere").hexdigest()
SAMPLE = {"renderRevision": 1, "byteSize": 900, "sha256": hashlib.sha256(b"its sample").hexdigest(),
          "width": 320, "height": 200}
MTIME = "1750000000000000000"


def path_bytes(text: str) -> str:
    """A path as JSON carries bytes."""
    return base64.b64encode(text.encode()).decode()


def root(cluster: Cluster) -> str:
    """The root of this watcher."""
    roots = cluster.store("LocationService", "ListRoots")["roots"]
    return [one["name"] for one in roots if one["watcher"] == WATCHER["watcher"]][0]


def location(cluster: Cluster, path: str) -> dict:
    """A file of this watcher."""
    return {"root": root(cluster), "path": path_bytes(path), "byteSize": "1000", "mtimeNs": MTIME}


def new_post(cluster: Cluster) -> dict:
    """A picture of this watcher."""
    return {"sha256": SHA256, "md5": hashlib.md5(b"a picture elsewhere").hexdigest(), "mediaType": "image/png",
            "byteSize": "1000", "width": 320, "height": 200, "frames": 1, "sample": SAMPLE,
            "perceptualHash": "5" * 64, "colours": "L" + "0" * 27, "detail": 4000,
            "location": location(cluster, "a/b.png")}


def a_watcher_joins(cluster: Cluster) -> None:
    """RegisterWatcher numbers the roots, the same again the next time; HeartbeatWatcher keeps it online."""
    request = {**WATCHER, "address": "http://127.0.0.1:9", "roots": [ROOT], "version": "0"}
    first = cluster.store("NodeService", "RegisterWatcher", request)
    again = cluster.store("NodeService", "RegisterWatcher", request)
    expect_equal(again["roots"][0]["name"], first["roots"][0]["name"])
    expect_equal(first["roots"][0]["displayPath"], "/outside/pictures")
    expect(first["every"].endswith("s"), first)
    expect_equal(cluster.store("NodeService", "HeartbeatWatcher", {**WATCHER, "roots": [ROOT]}), {})
    listed = {one["name"]: one for one in cluster.store("NodeService", "ListNodes")["nodes"]}
    expect(listed["watchers/outside-watcher"]["online"], listed)
    error = cluster.client("store").refused(f"{STORE}.NodeService/HeartbeatWatcher", {**WATCHER, "incarnation": "4"})
    expect_equal(error.reason, "STALE_INCARNATION")


def a_picture_is_registered(cluster: Cluster) -> None:
    """RegisterPosts makes a post once; sending it again changes nothing."""
    item = new_post(cluster)
    first = cluster.store("PostService", "RegisterPosts", {"posts": [item]})["posts"][0]
    again = cluster.store("PostService", "RegisterPosts", {"posts": [item]})["posts"][0]
    expect_equal((first.get("created"), again.get("created"), again["name"]), (True, None, first["name"]))
    kept = post(cluster, first["name"])
    expect_equal((kept["sha256"], kept["detail"], kept["sample"]), (SHA256, 4000, SAMPLE))
    expect_equal([place["displayPath"] for place in kept["locations"]], ["/outside/pictures/a/b.png"])


def bad_pictures_are_refused(cluster: Cluster) -> None:
    """RegisterPosts refuses sizes, hashes and paths that cannot be, and then keeps none of the call."""
    posts = cluster.stats()["posts"]
    wrong = ({"sha256": "A" * 64}, {"byteSize": "0"}, {"width": 0}, {"height": 70000}, {"frames": 0},
             {"perceptualHash": "5"}, {"md5": ""}, {"location": None},
             {"location": location(cluster, "/absolute")}, {"location": location(cluster, "nul\0byte")},
             {"location": location(cluster, "a") | {"root": "roots/99"}})
    for change in wrong:
        bad = {key: value for key, value in (new_post(cluster) | change).items() if value is not None}
        other = new_post(cluster) | {"sha256": hashlib.sha256(b"another").hexdigest(), "md5": "1" * 32}
        error = cluster.client("store").refused(f"{STORE}.PostService/RegisterPosts", {"posts": [other, bad]})
        expect(error.code in ("INVALID_ARGUMENT", "NOT_FOUND") and error.reason, f"{change}: {error}")
    expect_equal(cluster.stats()["posts"], posts)


def files_go_and_move(cluster: Cluster) -> None:
    """UpdateLocations: a file that is gone is missing and its post stays; a second place; unknown content."""
    name = post(cluster, f"posts/sha256:{SHA256}")["name"]
    changes = [
        {"location": location(cluster, "a/b.png"), "state": "LOCATION_STATE_MISSING"},
        {"location": location(cluster, "c.png"), "sha256": SHA256, "state": "LOCATION_STATE_PRESENT"},
        {"location": location(cluster, "d.png"), "sha256": "0" * 64, "state": "LOCATION_STATE_PRESENT"},
    ]
    answer = cluster.store("LocationService", "UpdateLocations", {"changes": changes})
    expect_equal(answer, {"unknown": [2]})
    states = {place["displayPath"]: place["state"] for place in post(cluster, name)["locations"]}
    expect_equal(states, {"/outside/pictures/a/b.png": "LOCATION_STATE_MISSING",
                          "/outside/pictures/c.png": "LOCATION_STATE_PRESENT"})
    expect_equal(len(search(cluster, f"id:{name.partition('/')[2]}")), 1)


def places_are_listed(cluster: Cluster) -> None:
    """ListLocations pages over all files of a root; ListRoots counts them and says what is online."""
    request, found = {"root": root(cluster), "pageSize": 1}, []
    while True:
        page = cluster.store("LocationService", "ListLocations", request)
        found += page.get("locations", [])
        if "nextPageToken" not in page:
            break
        request["pageToken"] = page["nextPageToken"]
    shown = {one["location"]["displayPath"]: one["sha256"] for one in found}
    expect_equal(shown, {"/outside/pictures/a/b.png": SHA256, "/outside/pictures/c.png": SHA256})
    mine = [one for one in cluster.store("LocationService", "ListRoots")["roots"] if one["name"] == root(cluster)][0]
    expect_equal((mine["state"], mine["present"], mine["missing"]), ("ROOT_STATE_ONLINE", "1", "1"))
    error = cluster.client("store").refused(f"{STORE}.LocationService/ListLocations", {"root": "roots/99"})
    expect_equal((error.code, error.reason), ("NOT_FOUND", "NO_SUCH_ROOT"))


def failures_are_reported(cluster: Cluster) -> None:
    """ReportIngestFailures is listed with its reason; a retry goes to the watcher by its heartbeat."""
    failure = {"location": location(cluster, "broken.png"), "reason": "NOT_A_PICTURE", "message": "no format"}
    cluster.store("LocationService", "ReportIngestFailures", {"failures": [failure]})
    failed = cluster.store("TaskService", "ListTasks", {"state": "TASK_STATE_FAILED"})["tasks"]
    shown = [one for one in failed if one.get("displayPath") == "/outside/pictures/broken.png"][0]
    expect_equal((shown["reason"], shown["message"]), ("NOT_A_PICTURE", "no format"))
    expect(shown["name"].startswith("ingestFailures/"), shown)
    cluster.store("TaskService", "RetryTasks", {"names": [shown["name"]]})
    retry = cluster.store("NodeService", "HeartbeatWatcher", {**WATCHER, "roots": [ROOT]})["retry"]
    expect_equal(retry, [{"root": root(cluster), "path": path_bytes("broken.png")}])


def pictures_go_with_their_tasks(cluster: Cluster) -> None:
    """A purged post takes along its tasks, which nobody could do: its watcher gave an address without a server."""
    name = post(cluster, f"posts/sha256:{SHA256}")["name"]
    listed = cluster.store("TaskService", "ListTasks", {"pageSize": 1000})["tasks"]
    expect(any(task.get("post") == name for task in listed), "it has no task")
    for method in ("TrashPosts", "PurgePosts"):
        cluster.store("TrashService", method, {"names": [name]})
    cluster.store("TrashService", "AllowRejected", {"sha256s": [SHA256]})
    listed = cluster.store("TaskService", "ListTasks", {"pageSize": 1000}).get("tasks", [])
    expect(not any(task.get("post") == name for task in listed), "its tasks are still there")
    cluster.settle()


CHECKS = (a_watcher_joins, a_picture_is_registered, bad_pictures_are_refused, files_go_and_move, places_are_listed,
          failures_are_reported, pictures_go_with_their_tasks)
