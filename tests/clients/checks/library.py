"""What several parts ask of the library."""

import pathlib

from cluster import Cluster

STORE = "kumo.store.v1"


def search(cluster: Cluster, query: str, **more) -> list[dict]:
    """All posts that a query finds, over all pages."""
    request, found = {"query": query, "pageSize": 1000, **more}, []
    while True:
        page = cluster.store("PostService", "SearchPosts", request)
        found += page.get("posts", [])
        if "nextPageToken" not in page:
            return found
        request["pageToken"] = page["nextPageToken"]


def post(cluster: Cluster, name: str) -> dict:
    """Everything about one post."""
    return cluster.store("PostService", "GetPost", {"name": name})["post"]


def post_of(cluster: Cluster, picture: str) -> dict:
    """Everything about the post of a generated picture, found by its content."""
    return post(cluster, f"posts/sha256:{cluster.sha256(picture)}")


def names(items: list[dict]) -> list[str]:
    """The names of posts or tags."""
    return [item["name"] for item in items]


def number(name: str) -> int:
    """The number in `posts/123`."""
    return int(name.partition("/")[2])


def tags(item: dict) -> list[str]:
    """Names of the effective tags of a post, sorted."""
    return sorted(tag["name"] for tag in item.get("tags", []))


def files(folder: pathlib.Path) -> list[pathlib.Path]:
    """The files below a folder."""
    return sorted(path for path in folder.rglob("*") if path.is_file())
