"""Vectors and hashes as the store gives them out.

EmbeddingService.
"""

import base64
import math
import struct

from checks.feed import changes
from checks.library import STORE, names, number, post, search
from cluster import Cluster
from report import expect, expect_equal

STREAM = f"{STORE}.EmbeddingService/StreamEmbeddings"


def vector(data: str) -> list[float]:
    """Numbers of a vector: binary16, little-endian."""
    raw = base64.b64decode(data)
    return list(struct.unpack(f"<{len(raw) // 2}e", raw))


def cosine(one: list[float], other: list[float]) -> float:
    """Cosine of two vectors."""
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / (math.hypot(*one) * math.hypot(*other))


def stream(cluster: Cluster, request: dict | None = None) -> tuple[list[dict], list[dict]]:
    """All embeddings, and the pages they came in."""
    pages = cluster.client("store").stream(STREAM, request)
    return [one for page in pages for one in page.get("embeddings", [])], pages


def the_bulk_is_whole(cluster: Cluster) -> None:
    """StreamEmbeddings gives every post once by number, each with a vector of length 1 and its hash."""
    given, pages = stream(cluster)
    expect_equal([one["post"] for one in given], names(search(cluster, "order:oldest")))
    _, cursor = changes(cluster)
    for page in pages:
        expect_equal((page["cursor"], page["model"]), (cursor, pages[0]["model"]))
    for one in given:
        numbers = vector(one["vector"])
        expect_equal(len(numbers), pages[0]["dimensions"])
        expect(abs(math.hypot(*numbers) - 1) < 0.01, f"{one['post']}: length {math.hypot(*numbers)}")
        item = post(cluster, one["post"])
        expect_equal((one["perceptualHash"], one["colours"], one.get("detail", 0)),
                     (item["perceptualHash"], item["colours"], item.get("detail", 0)))


def the_bulk_goes_on(cluster: Cluster) -> None:
    """`after` goes on behind a post; an unknown model is NOT_FOUND."""
    given, _ = stream(cluster)
    rest, _ = stream(cluster, {"after": given[3]["post"]})
    expect_equal(rest, given[4:])
    error = cluster.client("store").refused(STREAM, {"model": "models/99"})
    expect_equal((error.code, error.reason), ("NOT_FOUND", "NO_SUCH_MODEL"))


def some_are_the_same(cluster: Cluster) -> None:
    """BatchGetEmbeddings gives the same in the order asked, and names what is not there."""
    given, pages = stream(cluster)
    order = [given[4]["post"], "posts/900", given[0]["post"]]
    answer = cluster.store("EmbeddingService", "BatchGetEmbeddings", {"names": order})
    expect_equal(answer["embeddings"], [given[4], given[0]])
    expect_equal((answer["missing"], answer["model"]), (["posts/900"], pages[0]["model"]))


def vectors_mean_something(cluster: Cluster) -> None:
    """Vectors of different pictures differ, and those of one layout are nearer than those of others."""
    by_number = {number(one["post"]): vector(one["vector"]) for one in stream(cluster)[0]}
    def of(name: str) -> list[float]:
        found = cluster.store("PostService", "GetPost", {"name": f"posts/sha256:{cluster.sha256(name)}"})
        return by_number[number(found["post"]["name"])]
    disc, other_disc, scene = (of(f"{name}") for name in (
        "objects/red-on-white.png", "objects/blue-on-white.png", "scenes/night.jpg"))
    expect(cosine(disc, other_disc) > cosine(disc, scene),
           f"disc and disc {cosine(disc, other_disc):.3f}, disc and scene {cosine(disc, scene):.3f}")
    expect(cosine(disc, scene) < 0.999, "different pictures have the same vector")


CHECKS = (the_bulk_is_whole, the_bulk_goes_on, some_are_the_same, vectors_mean_something)
