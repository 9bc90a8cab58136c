"""Deleting: the trash, and rejected content.

TrashService.
"""

from checks.feed import changes
from checks.library import STORE, names, post, post_of, search, tags
from cluster import Cluster, wait_until
from report import expect, expect_equal

SERVICE = f"{STORE}.TrashService"
PICTURE = "scenes/night.jpg"


def told(heard: list[dict]) -> list[tuple]:
    """What the feed said of each post."""
    return [(one["post"], one.get("deleted"), one.get("trashed")) for one in heard]


def trashed_posts_are_not_found(cluster: Cluster) -> None:
    """TrashPosts: searches, tags and the bulk know the post no more, the feed says so, all facts are kept."""
    before, (_, cursor) = post_of(cluster, PICTURE), changes(cluster)
    posts = int(cluster.stats()["posts"])
    answer = cluster.store("TrashService", "TrashPosts", {"names": [before["name"]]})
    expect(answer["purgeTime"], answer)
    expect(before["name"] not in names(search(cluster, "")), "still found")
    expect_equal(names(search(cluster, "status:trash")), [before["name"]])
    after = post(cluster, before["name"])
    expect(after["trashTime"] and tags(after) == tags(before), after)
    heard, _ = changes(cluster, cursor)
    expect_equal(told(heard), [(before["name"], True, True)])
    stats = cluster.stats()
    expect_equal((int(stats["posts"]), stats["postsTrashed"]), (posts - 1, "1"))
    gone = cluster.store("EmbeddingService", "BatchGetEmbeddings", {"names": [before["name"]]})
    expect_equal(gone["missing"], [before["name"]])
    cluster.store("TrashService", "TrashPosts", {"names": [before["name"]]})
    expect_equal(cluster.stats()["seq"], stats["seq"], "the feed after trashing it twice")


def look_alikes_forget_it(cluster: Cluster) -> None:
    """Look-alikes leave out what is in the trash."""
    name = names(search(cluster, "status:trash"))[0]
    similarity = cluster.client("similarity")
    def forgotten() -> bool:
        index = similarity.get("kumo.similarity.v1.SimilarityService/GetIndex")
        return index["cursor"]["seq"] == cluster.stats()["seq"]
    wait_until("the index has followed", forgotten, 30)
    subject = post_of(cluster, "scenes/red.jpg")["name"]
    found = similarity.get("kumo.similarity.v1.SimilarityService/FindSimilar", {"post": subject})["found"]
    expect(name not in [one["post"] for one in found["posts"]], found)


def restored_posts_are_back(cluster: Cluster) -> None:
    """RestorePosts brings it back with its tags; what is not in the trash cannot be restored or purged."""
    name = names(search(cluster, "status:trash"))[0]
    kept = tags(post(cluster, name))
    cluster.store("TrashService", "RestorePosts", {"names": [name]})
    after = post(cluster, name)
    expect("trashTime" not in after and tags(after) == kept, after)
    expect(name in names(search(cluster, "")), "not found after restoring")
    for method in ("RestorePosts", "PurgePosts"):
        error = cluster.client("store").refused(f"{SERVICE}/{method}", {"names": [name]})
        expect_equal((error.code, error.reason), ("FAILED_PRECONDITION", "NOT_TRASHED"), method)


def purged_content_stays_away(cluster: Cluster) -> None:
    """PurgePosts forgets the post and rejects its content; no scan brings it back, no file is touched."""
    item, (_, cursor) = post_of(cluster, PICTURE), changes(cluster)
    cluster.store("TrashService", "TrashPosts", {"names": [item["name"]]})
    cluster.store("TrashService", "PurgePosts", {"names": [item["name"]]})
    error = cluster.client("store").refused(f"{STORE}.PostService/GetPost", {"name": item["name"]})
    expect_equal(error.reason, "NO_SUCH_POST")
    heard, _ = changes(cluster, cursor)
    expect_equal(told(heard), [(item["name"], True, None)])
    rejected = cluster.store("TrashService", "ListRejected")["contents"]
    expect_equal([one["sha256"] for one in rejected], [item["sha256"]])
    expect_equal(rejected[0]["displayPaths"], [str(cluster.library / PICTURE)])
    posts = cluster.stats()["posts"]
    (cluster.library / PICTURE).touch()
    cluster.place(PICTURE, "again/night.jpg")
    cluster.client("watcher").get("kumo.media.v1.MediaService/Rescan")
    cluster.add("gradients/green.jpg", cluster.picture("gradients/green.jpg"))
    expect_equal(int(cluster.stats()["posts"]), int(posts) + 1)
    expect((cluster.library / PICTURE).exists() and (cluster.library / "again/night.jpg").exists(), "a file is gone")


def allowed_content_comes_back(cluster: Cluster) -> None:
    """AllowRejected: the files that are still there come back by themselves, as a new post."""
    sha256 = cluster.store("TrashService", "ListRejected")["contents"][0]["sha256"]
    newest = max(int(name.partition("/")[2]) for name in names(search(cluster, "")))
    answer = cluster.store("TrashService", "AllowRejected", {"sha256s": [sha256, "0" * 64]})
    expect_equal(answer["allowed"], "1")
    def back() -> dict | None:
        try:
            return post(cluster, f"posts/sha256:{sha256}")
        except Exception:  # not yet there
            return None
    item = wait_until("the content is a post again", back, 60)
    expect(int(item["name"].partition("/")[2]) > newest, f"{item['name']} is an old number")
    expect_equal(cluster.store("TrashService", "ListRejected").get("contents", []), [])


CHECKS = (trashed_posts_are_not_found, look_alikes_forget_it, restored_posts_are_back, purged_content_stays_away,
          allowed_content_comes_back)
