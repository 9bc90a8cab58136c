"""The feed: how followers keep up.

FeedService.
"""

import threading

from checks.library import STORE, names, post_of, search
from cluster import Cluster
from report import expect, expect_equal

WATCH = f"{STORE}.FeedService/WatchChanges"


def changes(cluster: Cluster, cursor: dict | None = None) -> tuple[list[dict], dict]:
    """What changed after a cursor, and the cursor after it."""
    request = {"untilNow": True} | ({"cursor": cursor} if cursor else {})
    pages = cluster.client("store").stream(WATCH, request)
    expect(pages, "no message, so no cursor")
    return [change for page in pages for change in page.get("changes", [])], pages[-1]["cursor"]


def a_follower_ends_with_the_truth(cluster: Cluster) -> None:
    """From the beginning the feed gives every post once, by ascending position, and then ends."""
    seen, cursor = changes(cluster)
    alive = [change["post"] for change in seen if "deleted" not in change]
    expect_equal(sorted(alive), sorted(names(search(cluster, ""))))
    positions = [int(change["seq"]) for change in seen]
    expect_equal(positions, sorted(set(positions)))
    stats = cluster.stats()
    expect_equal(cursor, {"epoch": stats["epoch"], "seq": stats["seq"]})
    expect_equal(changes(cluster, cursor), ([], cursor))


def the_embedding_model_is_named(cluster: Cluster) -> None:
    """The feed names the embedding model that look-alike search goes by."""
    models = cluster.store("ModelService", "ListModels")["models"]
    preferred = [model["name"] for model in models if model["kind"] == "MODEL_KIND_EMBED" and model.get("preferred")]
    page = cluster.client("store").stream(WATCH, {"untilNow": True})[0]
    expect_equal([page["embedModel"]], preferred)


def other_epochs_must_resync(cluster: Cluster) -> None:
    """A cursor of another epoch answers OUT_OF_RANGE, RESYNC_REQUIRED, and says where the feed is."""
    stats = cluster.stats()
    cursor = {"epoch": str(int(stats["epoch"]) ^ 1), "seq": "1"}
    error = cluster.client("store").refused(WATCH, {"cursor": cursor})
    expect_equal((error.code, error.reason), ("OUT_OF_RANGE", "RESYNC_REQUIRED"))
    expect_equal(error.metadata, {"epoch": stats["epoch"], "seq": stats["seq"]})


def changes_come_as_they_happen(cluster: Cluster) -> None:
    """A follower that waits hears of an edit within a second or so."""
    name, (_, cursor) = post_of(cluster, "gradients/pink.jpg")["name"], changes(cluster)
    edit = {"edits": [{"post": name, "add": [{"name": "followed"}]}]}
    timer = threading.Timer(0.5, lambda: cluster.store("EditService", "EditPosts", edit))
    timer.start()
    # The first message may be a sign of life that says where the feed is.
    heard: list[dict] = []
    for page in cluster.client("store").follow(WATCH, {"cursor": cursor}, seconds=10):
        heard += page.get("changes", [])
        if heard:
            break
    timer.join()
    expect_equal([change["post"] for change in heard], [name])
    expect(int(heard[0]["seq"]) > int(cursor["seq"]), heard)


CHECKS = (a_follower_ends_with_the_truth, the_embedding_model_is_named, other_epochs_must_resync,
          changes_come_as_they_happen)
