"""What people and boorus say of posts.

EditService, SourceRecordService.
"""

import base64
import json

from checks.library import STORE, names, post, post_of, search, tags
from cluster import Cluster, wait_until
from report import expect, expect_equal

GENERAL = "TAG_CATEGORY_GENERAL"


def edit(cluster: Cluster, *edits: dict) -> list[dict]:
    """Edits posts."""
    return cluster.store("EditService", "EditPosts", {"edits": list(edits)})["posts"]


def records(cluster: Cluster, *items: dict) -> dict:
    """Puts source records."""
    return cluster.store("SourceRecordService", "PutSourceRecords", {"records": list(items)})


def people_add_and_remove(cluster: Cluster) -> None:
    """EditPosts adds a new tag and removes a model's; search sees both at once, the editor is kept."""
    before = post_of(cluster, "objects/red-on-white.png")
    name, models_tag = before["name"], tags(before)[0]
    answer = edit(cluster, {"post": name, "add": [{"name": "outside client", "category": GENERAL}],
                            "remove": [models_tag], "rating": "RATING_SENSITIVE"})
    after = post(cluster, name)
    wanted = sorted({*tags(before), "outside_client"} - {models_tag})
    expect_equal(tags(after), wanted)
    expect_equal((answer[0]["tags"], answer[0]["rating"]), (wanted, "RATING_SENSITIVE"))
    expect_equal(names(search(cluster, "outside_client")), [name])
    expect(name not in names(search(cluster, models_tag)), "the removed tag still finds it")
    expect_equal(names(search(cluster, "rating:s")), [name])
    said = {one["name"]: one for one in after["edits"]["tags"]}
    expect(said[models_tag]["removed"] and "removed" not in said["outside_client"], said)
    expect(all(one["editor"] and one["time"] for one in said.values()), said)


def edits_are_idempotent(cluster: Cluster) -> None:
    """The same edit again changes nothing, not even the post's place in the feed."""
    name = names(search(cluster, "outside_client"))[0]
    seq = post(cluster, name)["changedSeq"]
    answer = edit(cluster, {"post": name, "add": [{"name": "outside_client"}]})
    expect_equal(answer[0]["changedSeq"], seq)
    expect_equal(cluster.stats()["seq"], seq)


def edits_are_withdrawn(cluster: Cluster) -> None:
    """`reset` and `reset_rating` let models decide again."""
    name = names(search(cluster, "outside_client"))[0]
    said = [one["name"] for one in post(cluster, name)["edits"]["tags"]]
    edit(cluster, {"post": name, "reset": said, "resetRating": True})
    after = post(cluster, name)
    expect("outside_client" not in tags(after) and after.get("edits", {}).get("tags", []) == [], after)
    expect("rating" not in after or after["rating"] != "RATING_SENSITIVE", after.get("rating"))


def edits_are_all_or_none(cluster: Cluster) -> None:
    """One edit that cannot be leaves the others undone; slips are told."""
    name = post_of(cluster, "gradients/blue.jpg")["name"]
    before = post(cluster, name)
    client, path = cluster.client("store"), f"{STORE}.EditService/EditPosts"
    good = {"post": name, "add": [{"name": "half_done"}]}
    error = client.refused(path, {"edits": [good, {"post": "posts/900", "add": [{"name": "x"}]}]})
    expect_equal((error.code, error.reason), ("NOT_FOUND", "NO_SUCH_POST"))
    error = client.refused(path, {"edits": [{**good, "remove": ["no_such_tag_at_all"]}]})
    expect_equal((error.code, error.reason), ("NOT_FOUND", "NO_SUCH_TAG"))
    error = client.refused(path, {"edits": [good, good]})
    expect_equal(error.code, "INVALID_ARGUMENT")
    error = client.refused(path, {"edits": [{**good, "rating": "RATING_GENERAL", "resetRating": True}]})
    expect_equal(error.code, "INVALID_ARGUMENT")
    expect_equal(post(cluster, name), before)


def boorus_are_heard(cluster: Cluster) -> None:
    """PutSourceRecords adds tags and a rating, keeps the record verbatim and tells what matches no post."""
    item = post_of(cluster, "scenes/green.jpg")
    raw = json.dumps({"id": 4711, "tags": "green_hill", "text": "ünïcode"}).encode()
    answer = records(
        cluster,
        {"post": f"posts/md5:{item['md5']}", "source": "danbooru", "externalId": "4711",
         "tags": [{"name": "green hill"}, {"name": "someone", "category": "TAG_CATEGORY_ARTIST"}],
         "rating": "RATING_QUESTIONABLE", "raw": base64.b64encode(raw).decode()},
        {"post": "posts/md5:" + "0" * 32, "source": "danbooru", "externalId": "1"})
    expect_equal((answer["stored"], answer["unmatched"]), ("1", [1]))
    after = post(cluster, item["name"])
    expect_equal(tags(after), sorted({*tags(item), "green_hill", "someone"}))
    expect_equal(after["rating"], "RATING_QUESTIONABLE")
    expect_equal(names(search(cluster, "artist:someone rating:q")), [item["name"]])
    kept = cluster.store("SourceRecordService", "ListSourceRecords", {"post": item["name"]})["records"]
    expect_equal([base64.b64decode(one["raw"]) for one in kept], [raw])
    expect(all("raw" not in one for one in after["sourceRecords"]), after["sourceRecords"])


def the_first_source_rates(cluster: Cluster) -> None:
    """Among sources the one with the highest priority rates; UpdateSource changes which that is."""
    name = post_of(cluster, "scenes/green.jpg")["name"]
    records(cluster, {"post": name, "source": "gelbooru", "externalId": "9", "rating": "RATING_EXPLICIT"})
    cluster.store("SourceRecordService", "UpdateSource", {"name": "gelbooru", "priority": 900})
    wait_until("gelbooru rates", lambda: post(cluster, name)["rating"] == "RATING_EXPLICIT", 10)
    sources = cluster.store("SourceRecordService", "ListSources")["sources"]
    expect_equal([(one["name"], one["priority"], one["recordCount"]) for one in sources],
                 [("gelbooru", 900, "1"), ("danbooru", 100, "1")])
    answer = cluster.store("SourceRecordService", "UpdateSource", {"name": "gelbooru", "priority": 1})
    expect_equal(answer["source"]["priority"], 1)
    wait_until("danbooru rates", lambda: post(cluster, name)["rating"] == "RATING_QUESTIONABLE", 10)
    error = cluster.client("store").refused(f"{STORE}.SourceRecordService/UpdateSource", {"name": "no", "priority": 1})
    expect_equal(error.code, "NOT_FOUND")


def a_person_wins_over_boorus(cluster: Cluster) -> None:
    """A tag that a person removed stays removed when a booru says it again."""
    name = post_of(cluster, "scenes/green.jpg")["name"]
    edit(cluster, {"post": name, "remove": ["green_hill"], "rating": "RATING_GENERAL"})
    records(cluster, {"post": name, "source": "danbooru", "externalId": "4711", "rating": "RATING_EXPLICIT",
                      "tags": [{"name": "green_hill"}, {"name": "someone"}]})
    after = post(cluster, name)
    expect("green_hill" not in tags(after) and "someone" in tags(after), tags(after))
    expect_equal(after["rating"], "RATING_GENERAL")
    edit(cluster, {"post": name, "reset": ["green_hill"], "resetRating": True})
    expect("green_hill" in tags(post(cluster, name)), "reset did not give it back to the booru")


def records_are_forgotten(cluster: Cluster) -> None:
    """DeleteSourceRecords forgets; models decide again."""
    name = post_of(cluster, "scenes/green.jpg")["name"]
    keys = [{"post": name, "source": source} for source in ("danbooru", "gelbooru")]
    answer = cluster.store("SourceRecordService", "DeleteSourceRecords", {"keys": keys})
    expect_equal(answer["deleted"], "2")
    after = post(cluster, name)
    expect("someone" not in tags(after) and "sourceRecords" not in after, after)
    expect_equal(cluster.store("SourceRecordService", "ListSourceRecords", {"post": name}).get("records", []), [])


CHECKS = (people_add_and_remove, edits_are_idempotent, edits_are_withdrawn, edits_are_all_or_none,
          boorus_are_heard, the_first_source_rates, a_person_wins_over_boorus, records_are_forgotten)
