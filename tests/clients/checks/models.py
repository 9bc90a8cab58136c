"""Models: registered, activated, put away.

ModelService.
"""

import hashlib

from checks.library import STORE
from cluster import Cluster
from report import expect, expect_equal

REVISION = hashlib.sha256(b"a model of an outside client").hexdigest()
LABELS = [
    {"name": "outside_cloud", "category": "TAG_CATEGORY_GENERAL"},
    {"name": "outside_sun", "category": "TAG_CATEGORY_GENERAL"},
    {"name": "questionable", "category": "TAG_CATEGORY_RATING"},
]
REGISTRATION = {
    "kind": "MODEL_KIND_TAG", "displayName": "outside-tagger", "revision": REVISION, "labels": LABELS,
    "thresholds": [{"category": "TAG_CATEGORY_GENERAL", "confidence": 0.5}],
}


def listed(cluster: Cluster) -> dict[str, dict]:
    """All models by their name for people."""
    return {model["displayName"]: model for model in cluster.store("ModelService", "ListModels")["models"]}


def the_built_in_ones_are_done(cluster: Cluster) -> None:
    """ListModels shows one active tagger and one active embedder, each with a result for every post."""
    models, posts = listed(cluster), cluster.stats()["posts"]
    expect_equal(sorted(model["kind"] for model in models.values()), ["MODEL_KIND_EMBED", "MODEL_KIND_TAG"])
    for model in models.values():
        expect_equal((model["active"], model["done"]), (True, posts), model["displayName"])
        expect("backfillLeft" not in model, model)
        expect_equal("dimensions" in model, model["kind"] == "MODEL_KIND_EMBED")


def registering_is_idempotent(cluster: Cluster) -> None:
    """RegisterModel gives a number once for each revision and does not activate a second model."""
    first = cluster.store("ModelService", "RegisterModel", REGISTRATION)["model"]
    again = cluster.store("ModelService", "RegisterModel", REGISTRATION)["model"]
    expect_equal(again, first)
    expect_equal((first["labelCount"], first["revision"]), (3, REVISION))
    expect("active" not in first, first)
    expect_equal(listed(cluster)["outside-tagger"], first)


def bad_models_are_refused(cluster: Cluster) -> None:
    """Models without kind, with a bad revision, name, threshold or label are refused."""
    wrong = ({"kind": "MODEL_KIND_UNSPECIFIED"}, {"revision": "abc"}, {"displayName": "a b"}, {"displayName": ""},
             {"thresholds": [{"category": "TAG_CATEGORY_GENERAL", "confidence": 1.5}]},
             {"thresholds": [{"category": "TAG_CATEGORY_GENERAL", "confidence": "NaN"}]},
             {"labels": [{"name": "", "category": "TAG_CATEGORY_GENERAL"}]},
             {"kind": "MODEL_KIND_EMBED", "labels": [], "thresholds": [], "dimensions": 5})
    for change in wrong:
        request = REGISTRATION | {"revision": hashlib.sha256(b"bad").hexdigest()} | change
        error = cluster.client("store").refused(f"{STORE}.ModelService/RegisterModel", request)
        expect_equal(error.code, "INVALID_ARGUMENT", str(change))
        expect(error.reason and error.message, str(change))


def switched_on_and_off(cluster: Cluster) -> None:
    """ActivateModel makes tasks for every post, DeactivateModel drops them."""
    name, posts = listed(cluster)["outside-tagger"]["name"], int(cluster.stats()["posts"])
    model = cluster.store("ModelService", "ActivateModel", {"name": name})["model"]
    expect(model["active"], model)
    tasks = cluster.model_tasks(name, posts)
    expect_equal({task["state"] for task in tasks}, {"TASK_STATE_QUEUED"})
    model = cluster.store("ModelService", "DeactivateModel", {"name": name})["model"]
    expect("active" not in model, model)
    cluster.model_tasks(name, 0)
    for method in ("ActivateModel", "DeactivateModel"):
        error = cluster.client("store").refused(f"{STORE}.ModelService/{method}", {"name": "models/99"})
        expect_equal((error.code, error.reason), ("NOT_FOUND", "NO_SUCH_MODEL"), method)
        expect_equal(error.metadata["name"], "models/99", method)


CHECKS = (the_built_in_ones_are_done, registering_is_idempotent, bad_models_are_refused, switched_on_and_off)
