"""Bytes of pictures, and what the watcher is doing.

MediaService.
"""

import base64
import hashlib

from checks.library import post_of
from cluster import Cluster, wait_until
from report import expect, expect_equal

MEDIA = "kumo.media.v1.MediaService"
PICTURE = "scenes/red.jpg"


def read(cluster: Cluster, sha256: str, rendition: str, **more) -> tuple[dict, bytes]:
    """Header and bytes of a file."""
    pages = cluster.client("watcher").stream(f"{MEDIA}/Read", {"sha256": sha256, "rendition": rendition, **more})
    return pages[0]["header"], b"".join(base64.b64decode(page.get("data", "")) for page in pages)


def originals_are_the_files(cluster: Cluster) -> None:
    """Read gives the very bytes of the file, with type and size in front, in pieces of at most 256 KiB."""
    item, data = post_of(cluster, PICTURE), (cluster.library / PICTURE).read_bytes()
    header, got = read(cluster, item["sha256"], "RENDITION_ORIGINAL")
    expect_equal((header["mediaType"], int(header["byteSize"])), ("image/jpeg", len(data)))
    expect(got == data, f"{len(got)} bytes differ from the file's {len(data)}")
    pages = cluster.client("watcher").stream(f"{MEDIA}/Read", {"sha256": item["sha256"],
                                                               "rendition": "RENDITION_ORIGINAL"})
    expect(max(len(base64.b64decode(page.get("data", ""))) for page in pages) <= 256 << 10, "a larger piece")


def parts_of_a_file(cluster: Cluster) -> None:
    """Read gives a part by offset and length; an offset behind the end is refused."""
    item, data = post_of(cluster, PICTURE), (cluster.library / PICTURE).read_bytes()
    _, part = read(cluster, item["sha256"], "RENDITION_ORIGINAL", offset="1000", length="500")
    expect_equal(part, data[1000:1500])
    _, tail = read(cluster, item["sha256"], "RENDITION_ORIGINAL", offset=str(len(data) - 7))
    expect_equal(tail, data[-7:])
    error = cluster.client("watcher").refused(
        f"{MEDIA}/Read", {"sha256": item["sha256"], "rendition": "RENDITION_ORIGINAL", "offset": str(len(data) + 1)})
    expect_equal((error.code, error.reason), ("OUT_OF_RANGE", "BEHIND_THE_END"))


def samples_and_previews(cluster: Cluster) -> None:
    """Samples are what the post says by checksum and length; previews are smaller."""
    item = post_of(cluster, PICTURE)
    header, sample = read(cluster, item["sha256"], "RENDITION_SAMPLE")
    expect_equal(hashlib.sha256(sample).hexdigest(), item["sample"]["sha256"])
    expect_equal(int(header["byteSize"]), item["sample"]["byteSize"])
    _, preview = read(cluster, item["sha256"], "RENDITION_PREVIEW")
    expect(0 < len(preview) < len(sample), f"preview {len(preview)}, sample {len(sample)}")
    _, unnamed = read(cluster, item["sha256"], "RENDITION_UNSPECIFIED")
    expect(unnamed == sample, "unspecified is not the sample")


def many_samples(cluster: Cluster) -> None:
    """ReadSamples streams many in the order asked; one that is not there fails for itself alone."""
    items = [post_of(cluster, name) for name in (PICTURE, "gradients/blue.jpg")]
    keys = [{"sha256": item["sha256"], "renderRevision": item["sample"]["renderRevision"]} for item in items]
    keys.insert(1, {"sha256": "0" * 64, "renderRevision": 1})
    pages = cluster.client("watcher").stream(f"{MEDIA}/ReadSamples", {"samples": keys})
    indexes = [page.get("index", 0) for page in pages]
    expect_equal(indexes, sorted(indexes))
    parts = {index: [page for page in pages if page.get("index", 0) == index] for index in range(3)}
    expect_equal([page.get("error", "") for page in parts[1]], ["SAMPLE_NOT_FOUND"])
    for index, item in ((0, items[0]), (2, items[1])):
        sample = b"".join(base64.b64decode(page.get("data", "")) for page in parts[index])
        expect_equal(hashlib.sha256(sample).hexdigest(), item["sample"]["sha256"])
        expect_equal([bool(page.get("last")) for page in parts[index]][-1], True)


def what_is_not_there(cluster: Cluster) -> None:
    """Read of unknown content is NOT_FOUND, of a bad hash INVALID_ARGUMENT."""
    error = cluster.client("watcher").refused(f"{MEDIA}/Read", {"sha256": "0" * 64})
    expect_equal((error.code, error.reason), ("NOT_FOUND", "CONTENT_NOT_FOUND"))
    error = cluster.client("watcher").refused(f"{MEDIA}/Read", {"sha256": "abc"})
    expect_equal((error.code, error.reason), ("INVALID_ARGUMENT", "BAD_HASH"))


def it_tells_what_it_does(cluster: Cluster) -> None:
    """WatchProgress says at once that the first scan is done and nothing waits; Rescan scans again."""
    watcher = cluster.client("watcher")
    progress = watcher.stream(f"{MEDIA}/WatchProgress", most=1)[0]
    expect(progress["firstScanDone"] and "pending" not in progress, progress)
    watcher.get(f"{MEDIA}/Rescan")
    def scanned() -> bool:
        now = watcher.stream(f"{MEDIA}/WatchProgress", most=1)[0]
        return "scanning" not in now and int(now["scanned"]) >= int(progress["scanned"])
    wait_until("the scan is over", scanned, 20)


CHECKS = (originals_are_the_files, parts_of_a_file, samples_and_previews, many_samples, what_is_not_there,
          it_tells_what_it_does)
