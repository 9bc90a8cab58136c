"""Pictures sent to inference nodes.

TaggerService, EmbedderService.
"""

import base64

from checks.embeddings import cosine, stream, vector
from checks.library import post_of
from cluster import Cluster
from report import expect, expect_equal

TAGGER = "kumo.tagger.v1.TaggerService"
EMBEDDER = "kumo.embedder.v1.EmbedderService"
PIECE = 100_000


def pieces(data: bytes, first: dict | None = None) -> list[dict]:
    """A picture as a stream of messages; `first` goes with the first."""
    parts = [{"data": base64.b64encode(data[at:at + PIECE]).decode()} for at in range(0, len(data), PIECE)]
    parts[0] |= first or {}
    return parts


def a_sent_picture_has_its_tags(cluster: Cluster) -> None:
    """TagImage says of a picture in several pieces what the library's prediction says."""
    name = "scenes/blue.jpg"
    said = cluster.client("tagger").get(f"{TAGGER}/TagImage", pieces(cluster.picture(name), {"minConfidence": 0.01}))
    kept = post_of(cluster, name)["predictions"][0]
    expect_equal((said["modelName"], said["device"]), (kept["modelName"], kept["device"]))
    fresh = {tag["name"]: tag["confidence"] for tag in said["tags"]}
    for tag in kept["tags"]:
        expect(abs(fresh.get(tag["name"], 0) - tag["confidence"]) < 0.02, f"{tag}: now {fresh.get(tag['name'])}")
    order = [tag["confidence"] for tag in said["tags"]]
    expect_equal(order, sorted(order, reverse=True))


def what_is_no_picture_is_refused(cluster: Cluster) -> None:
    """TagImage and EmbedImage refuse what is no picture, nothing at all, and half a picture or say so."""
    half = cluster.picture("objects/red-on-white.png")[:400]
    for role, path in (("tagger", f"{TAGGER}/TagImage"), ("embedder", f"{EMBEDDER}/EmbedImage")):
        for data in (b"this is no picture", b"\x89PNG\r\n\x1a\n" + b"\0" * 100, half):
            error = cluster.client(role).refused(path, pieces(data))
            expect_equal(error.code, "INVALID_ARGUMENT", f"{path} {data[:20]!r}")
            expect(error.reason and error.message, error)
        expect_equal(cluster.client(role).refused(path, [{}]).code, "INVALID_ARGUMENT", f"{path} without a byte")
        expect_equal(cluster.client(role).get("grpc.health.v1.Health/Check")["status"], "SERVING", role)
    for confidence in (1.5, -1, "NaN"):
        bad = pieces(cluster.picture("objects/red-on-white.png"), {"minConfidence": confidence})
        error = cluster.client("tagger").refused(f"{TAGGER}/TagImage", bad)
        expect_equal((error.code, error.reason), ("INVALID_ARGUMENT", "INVALID_FIELD"), str(confidence))


def nodes_name_their_models(cluster: Cluster) -> None:
    """GetModel of tagger and embedder agrees with what the store lists."""
    listed = {model["kind"]: model for model in cluster.store("ModelService", "ListModels")["models"]
              if model.get("preferred") or model["displayName"].startswith("palette")}
    tagger = cluster.client("tagger").get(f"{TAGGER}/GetModel")
    embedder = cluster.client("embedder").get(f"{EMBEDDER}/GetModel")
    expect_equal(tagger["revision"], listed["MODEL_KIND_TAG"]["revision"])
    expect_equal(len(tagger["labels"]), listed["MODEL_KIND_TAG"]["labelCount"])
    expect_equal((embedder["revision"], embedder["dimensions"]),
                 (listed["MODEL_KIND_EMBED"]["revision"], listed["MODEL_KIND_EMBED"]["dimensions"]))
    for said in (tagger, embedder):
        expect(said["maxBatch"] >= 1 and "cpu" in said["deviceProof"], said)


def a_sent_picture_has_its_vector(cluster: Cluster) -> None:
    """EmbedImage gives a vector of length 1 that is the stored one of the same picture."""
    name = "scenes/green.jpg"
    said = cluster.client("embedder").get(f"{EMBEDDER}/EmbedImage", pieces(cluster.picture(name)))
    item = post_of(cluster, name)
    stored = {one["post"]: one for one in stream(cluster)[0]}[item["name"]]
    same = cosine(said["vector"], vector(stored["vector"]))
    expect(same > 0.999, f"cosine with the stored vector {same}")
    length = sum(number * number for number in said["vector"]) ** 0.5
    expect(abs(length - 1) < 1e-3, f"length {length}")


CHECKS = (a_sent_picture_has_its_tags, what_is_no_picture_is_refused, nodes_name_their_models,
          a_sent_picture_has_its_vector)
