"""Look-alikes and duplicates.

SimilarityService.
"""

import json
import struct
import zlib

from checks.embeddings import stream, vector
from checks.library import names, number, post_of, search
from checks.tagging import EMBEDDER, pieces
from cluster import Cluster, wait_until
from report import Failed, expect, expect_equal

SIMILARITY = "kumo.similarity.v1.SimilarityService"
CHANNELS = {"CHANNEL_EMBEDDING", "CHANNEL_PERCEPTUAL_HASH", "CHANNEL_COLOUR", "CHANNEL_TAGS"}


def caught_up(cluster: Cluster) -> dict:
    """Waits until the index has seen everything; what it holds."""
    def index() -> dict | None:
        said = cluster.client("similarity").get(f"{SIMILARITY}/GetIndex")
        return said if said["cursor"]["seq"] == cluster.stats()["seq"] else None
    return wait_until("the index has followed the feed", index, 30)


def find(cluster: Cluster, request: dict) -> dict:
    """Asks for look-alikes when the index is up to date."""
    caught_up(cluster)
    return cluster.client("similarity").get(f"{SIMILARITY}/FindSimilar", request)["found"]


def the_index_is_whole(cluster: Cluster) -> None:
    """GetIndex holds every post with its vector, follows the feed, and is not behind."""
    said, everything = caught_up(cluster), search(cluster, "")
    with_vector = [one for one in stream(cluster)[0] if "vector" in one]
    expect_equal((int(said["posts"]), int(said["vectors"])), (len(everything), len(with_vector)))
    expect(said["following"] and "lag" not in said, said)
    preferred = [model for model in cluster.store("ModelService", "ListModels")["models"]
                 if model["kind"] == "MODEL_KIND_EMBED" and model.get("preferred")][0]
    expect_equal((said["model"], said["revision"], said["dimensions"]),
                 (preferred["name"], preferred["revision"], preferred["dimensions"]))


def look_alikes_of_a_post(cluster: Cluster) -> None:
    """FindSimilar: the best first, without the post itself, each score the mean of its channels by weight."""
    subject = post_of(cluster, "objects/red-on-white.png")
    found = find(cluster, {"post": subject["name"]})
    posts, reports = found["posts"], {one["channel"]: one for one in found["channels"]}
    expect_equal(set(reports), CHANNELS)
    expect(subject["name"] not in [one["post"] for one in posts], posts)
    scores = [one.get("score", 0) for one in posts]
    expect_equal(scores, sorted(scores, reverse=True))
    disc = post_of(cluster, "objects/blue-on-white.png")["name"]
    green = post_of(cluster, "objects/green-on-white.png")["name"]
    expect({disc, green} == {one["post"] for one in posts[:2]}, f"the other discs are not first: {posts[:3]}")
    expect(abs(sum(one.get("weight", 0) for one in reports.values()) - 1) < 1e-4, reports)
    for one in posts:
        weights = {score["channel"]: reports[score["channel"]]["weight"] for score in one["scores"]}
        mean = sum(weights[score["channel"]] * score.get("score", 0) for score in one["scores"]) / sum(weights.values())
        expect(abs(mean - one.get("score", 0)) < 1e-3, f"{one}: the mean is {mean}")


def filters_hold(cluster: Cluster) -> None:
    """`query`, `within`, `min_score` and `page_size` restrict the answer; weights choose channels."""
    subject = post_of(cluster, "scenes/blue.jpg")["name"]
    tagged = set(names(search(cluster, "white_background")))
    found = find(cluster, {"post": subject, "options": {"query": "white_background"}})
    expect(tagged and {one["post"] for one in found["posts"]} == tagged - {subject}, found["posts"])
    ids = sorted(number(name) for name in tagged)[:2]
    found = find(cluster, {"post": subject, "options": {"within": {"ids": ids}}})
    expect_equal(sorted(number(one["post"]) for one in found["posts"]), ids)
    found = find(cluster, {"post": subject, "options": {
        "pageSize": 3, "weights": [{"channel": "CHANNEL_COLOUR", "weight": 2}]}})
    expect_equal(len(found["posts"]), 3)
    expect_equal({score["channel"] for one in found["posts"] for score in one["scores"]}, {"CHANNEL_COLOUR"})
    best = found["posts"][0].get("score", 0)
    found = find(cluster, {"post": subject, "options": {
        "minScore": best, "weights": [{"channel": "CHANNEL_COLOUR", "weight": 2}]}})
    expect(found["posts"] and all(one.get("score", 0) >= best - 1e-6 for one in found["posts"]), found["posts"])


def look_alikes_of_a_vector(cluster: Cluster) -> None:
    """A vector of the serving model finds the post it came from; only the embedding channel takes part."""
    said = caught_up(cluster)
    one = [one for one in stream(cluster)[0] if "vector" in one][2]
    query = {"revision": said["revision"], "values": [3 * number for number in vector(one["vector"])]}
    found = find(cluster, {"vector": query, "options": {"pageSize": 1}})
    expect_equal(found["posts"][0]["post"], one["post"])
    expect(found["posts"][0]["score"] > 0.999, found["posts"])
    used = {report["channel"] for report in found["channels"] if report.get("used")}
    expect_equal(used, {"CHANNEL_EMBEDDING"})
    expect_equal({report["reason"] for report in found["channels"] if not report.get("used")}, {"NOT_IN_SUBJECT"})


def look_alikes_of_a_picture(cluster: Cluster) -> None:
    """FindSimilarToImage: the same picture, sent, finds its post first; the embedder takes part."""
    caught_up(cluster)
    name = "scenes/night.jpg"
    request = pieces(cluster.picture(name), {"options": {"pageSize": 3, "wait": "30s"}})
    found = cluster.client("similarity").get(f"{SIMILARITY}/FindSimilarToImage", request)["found"]
    expect_equal(found["posts"][0]["post"], post_of(cluster, name)["name"])
    expect(found["posts"][0]["score"] > 0.98, found["posts"][0])
    used = {report["channel"] for report in found["channels"] if report.get("used")}
    expect({"CHANNEL_EMBEDDING", "CHANNEL_PERCEPTUAL_HASH", "CHANNEL_COLOUR"} <= used, found["channels"])
    error = cluster.client("similarity").refused(f"{SIMILARITY}/FindSimilarToImage", pieces(b"no picture at all"))
    expect_equal(error.code, "INVALID_ARGUMENT")
    # The embedder is asked by the service with its own connection; what it says is what we are told.
    expect(cluster.client("embedder").get(f"{EMBEDDER}/GetModel")["revision"], "the embedder is gone")


def bad_questions_are_refused(cluster: Cluster) -> None:
    """Wrong vectors, revisions, weights, waits, queries and posts are refused with a reason; a huge k is cut."""
    said, subject = caught_up(cluster), post_of(cluster, "scenes/blue.jpg")["name"]
    good = {"revision": said["revision"], "values": [1.0] * said["dimensions"]}
    wrong: tuple[dict, ...] = (
        {}, {"post": "posts/900"}, {"post": "x"},
        {"vector": good | {"values": [1.0]}}, {"vector": good | {"values": [0.0] * said["dimensions"]}},
        {"vector": good | {"values": ["NaN"] * said["dimensions"]}},
        {"vector": good | {"values": ["Infinity"] + [0.0] * (said["dimensions"] - 1)}},
        {"vector": good | {"revision": "0" * 64}},
        {"post": subject, "options": {"pageSize": -1}},
        {"post": subject, "options": {"weights": [{"channel": "CHANNEL_TAGS", "weight": -1}]}},
        {"post": subject, "options": {"weights": [{"channel": "CHANNEL_TAGS", "weight": "NaN"}]}},
        {"post": subject, "options": {"weights": [{"channel": "CHANNEL_TAGS", "weight": 1}] * 2}},
        {"post": subject, "options": {"weights": [{"channel": "CHANNEL_UNSPECIFIED", "weight": 1}]}},
        {"post": subject, "options": {"minScore": "NaN"}}, {"post": subject, "options": {"query": "ratign:g"}},
        {"post": subject, "options": {"wait": "-1s"}},
    )
    for request in wrong:
        shown = json.dumps(request)[:200]
        error = cluster.client("similarity").ask(f"{SIMILARITY}/FindSimilar", request).error
        if error is None:
            raise Failed(f"{shown} was answered")
        expect(error.code in ("INVALID_ARGUMENT", "NOT_FOUND", "FAILED_PRECONDITION"), f"{shown}: {error}")
        expect(error.reason and error.message, f"{shown}: {error}")
    found = find(cluster, {"post": subject, "options": {"pageSize": 10_000_000}})
    expect(0 < len(found["posts"]) <= 1000, len(found["posts"]))


def duplicates_are_grouped(cluster: Cluster) -> None:
    """ListDuplicates: a copy in another encoding is grouped with its picture, a keeper named, pages are whole."""
    # The same PNG with a comment chunk behind it: other bytes, the same picture.
    original = cluster.picture("objects/red-on-white.png")
    posts = int(cluster.stats()["posts"])
    cluster.place_bytes(original + b"outside", "copies/red.png")
    cluster.settle_posts(posts + 1)
    caught_up(cluster)
    pair = {post_of(cluster, name)["name"] for name in ("objects/red-on-white.png", "copies/red.png")}
    answer = cluster.client("similarity").get(f"{SIMILARITY}/ListDuplicates", {"maxDistance": 4, "minCosine": 0.99})
    groups = [{one["post"] for one in group["posts"]} for group in answer["groups"]]
    expect(any(pair <= group for group in groups), answer)
    for group in answer["groups"]:
        expect_equal(group["posts"][0]["post"], group["keeper"])
        expect(group["keeperReason"] and len(group["posts"]) >= 2, group)
        # All are within 4 bits of the lowest post, and so of each other within 8.
        expect(all(one.get("distance", 0) <= 8 for one in group["posts"]), group)
    request, paged = {"maxDistance": 4, "minCosine": 0.99, "pageSize": 1}, []
    while True:
        page = cluster.client("similarity").get(f"{SIMILARITY}/ListDuplicates", request)
        paged += page.get("groups", [])
        if "nextPageToken" not in page:
            break
        request["pageToken"] = page["nextPageToken"]
    expect_equal(paged, answer["groups"])
    expect_equal(int(answer["totalSize"]), len(paged))
    error = cluster.client("similarity").refused(f"{SIMILARITY}/ListDuplicates", {"maxDistance": 33})
    expect_equal(error.code, "INVALID_ARGUMENT")


def blank_pictures_are_set_apart(cluster: Cluster) -> None:
    """ListDuplicates near_blank: a picture of one colour stands there alone, and in no group."""
    posts = int(cluster.stats()["posts"])
    cluster.place_bytes(blank_png(96, 64), "copies/blank.png")
    cluster.settle_posts(posts + 1)
    caught_up(cluster)
    blank = post_of(cluster, "copies/blank.png")["name"]
    apart = cluster.client("similarity").get(f"{SIMILARITY}/ListDuplicates", {"nearBlank": True})["groups"]
    expect(all(len(group["posts"]) == 1 for group in apart), apart)
    expect(blank in [group["posts"][0]["post"] for group in apart], f"{blank} is not in {apart}")
    groups = cluster.client("similarity").get(f"{SIMILARITY}/ListDuplicates", {}).get("groups", [])
    expect(blank not in [one["post"] for group in groups for one in group["posts"]], groups)


def blank_png(width: int, height: int) -> bytes:
    """A PNG of one grey."""
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    rows = (b"\0" + b"\x9c" * width) * height
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows))
            + chunk(b"IEND", b""))


CHECKS = (the_index_is_whole, look_alikes_of_a_post, filters_hold, look_alikes_of_a_vector, look_alikes_of_a_picture,
          bad_questions_are_refused, duplicates_are_grouped, blank_pictures_are_set_apart)
