"""Posts, searches, tags, matching, figures.

PostService, TagService, MatchService, AdminService.
"""

import math
from collections import Counter

from checks.library import STORE, files, names, number, post, post_of, search, tags
from cluster import Cluster
from report import expect, expect_equal

CATEGORY_WEIGHTS = {
    "TAG_CATEGORY_CHARACTER": 3, "TAG_CATEGORY_COPYRIGHT": 2, "TAG_CATEGORY_ARTIST": 2, "TAG_CATEGORY_SPECIES": 1.5,
    "TAG_CATEGORY_GENERAL": 1, "TAG_CATEGORY_META": 0.25,
}


def every_file_is_a_post(cluster: Cluster) -> None:
    """Every file of the library is a post, by the SHA-256, MD5 and size of its bytes."""
    found = search(cluster, "")
    expect_equal(len(found), len(files(cluster.library)))
    for path in files(cluster.library):
        item = post_of(cluster, str(path.relative_to(cluster.library)))
        expect_equal(int(item["byteSize"]), path.stat().st_size, path.name)
        places = [place["displayPath"] for place in item["locations"]]
        expect(str(path) in places, places)


def one_post_by_each_name(cluster: Cluster) -> None:
    """GetPost finds the same post by number, SHA-256 and MD5, and tells what the picture is."""
    item = post_of(cluster, "objects/red-on-white.png")
    expect_equal((item["mediaType"], item["width"], item["height"], item["frames"]), ("image/png", 800, 800, 1))
    for name in (item["name"], f"posts/md5:{item['md5']}"):
        expect_equal(post(cluster, name), item, name)
    expect_equal(len(item["perceptualHash"]), 64)
    expect_equal(len(item["colours"]), 28)
    expect(item["detail"] > 200, item["detail"])
    expect_equal([len(item["predictions"]), len(item["embeddingModels"])], [1, 1])
    expect("edits" not in item, "nobody has edited it")
    basic = cluster.store("PostService", "GetPost", {"name": item["name"], "view": "POST_VIEW_BASIC"})["post"]
    expect("locations" not in basic and "predictions" not in basic and basic["tags"] == item["tags"], basic)


def many_posts_in_order(cluster: Cluster) -> None:
    """BatchGetPosts answers in the order asked and names what does not exist."""
    wanted = names(search(cluster, "order:oldest"))[:4]
    order = [wanted[2], "posts/900", wanted[0], wanted[3]]
    answer = cluster.store("PostService", "BatchGetPosts", {"names": order})
    expect_equal(names(answer["posts"]), [wanted[2], wanted[0], wanted[3]])
    expect_equal(answer["missing"], ["posts/900"])


def pages_are_whole(cluster: Cluster) -> None:
    """Pages of three hold every post once, in order, with the exact count on each."""
    everything = names(search(cluster, "order:oldest"))
    request, seen = {"query": "order:oldest", "pageSize": 3}, []
    while True:
        page = cluster.store("PostService", "SearchPosts", request)
        expect_equal(int(page["totalSize"]), len(everything))
        expect(len(page["posts"]) <= 3, len(page["posts"]))
        seen += names(page["posts"])
        if "nextPageToken" not in page:
            break
        request["pageToken"] = page["nextPageToken"]
    expect_equal(seen, everything)
    expect_equal(names(search(cluster, "order:newest")), everything[::-1])


def tokens_belong_to_their_query(cluster: Cluster) -> None:
    """A page token of another query, and one that is none of ours, are refused."""
    token = cluster.store("PostService", "SearchPosts", {"query": "order:oldest", "pageSize": 2})["nextPageToken"]
    for request in ({"query": "order:newest", "pageToken": token}, {"query": "order:oldest", "pageToken": "abc"}):
        error = cluster.client("store").refused(f"{STORE}.PostService/SearchPosts", request)
        expect_equal(error.reason, "PAGE_TOKEN_INVALID", str(request))


def searches_agree_with_tags(cluster: Cluster) -> None:
    """For every tag, a search finds exactly the posts that have it, and its negation the others."""
    everything = search(cluster, "")
    for tag in {name for item in everything for name in tags(item)}:
        having = sorted(item["name"] for item in everything if tag in tags(item))
        expect_equal(sorted(names(search(cluster, tag))), having, tag)
        expect_equal(len(search(cluster, f"-{tag}")), len(everything) - len(having), tag)


def sets_restrict_and_order(cluster: Cluster) -> None:
    """`within` searches in a set only, and keeps its order if asked."""
    ids = [number(name) for name in names(search(cluster, "order:oldest"))]
    wanted = [ids[5], ids[1], ids[7]]
    kept = search(cluster, "", within={"ids": wanted, "keepOrder": True})
    expect_equal([number(name) for name in names(kept)], wanted)
    newest = search(cluster, "order:newest", within={"ids": wanted})
    expect_equal([number(name) for name in names(newest)], sorted(wanted, reverse=True))
    error = cluster.client("store").refused(
        f"{STORE}.PostService/SearchPosts", {"query": "order:size", "within": {"ids": wanted, "keepOrder": True}})
    expect_equal(error.code, "INVALID_ARGUMENT")


def bad_queries_say_where(cluster: Cluster) -> None:
    """A query that cannot be understood says at which byte, and what was probably meant."""
    error = cluster.client("store").refused(f"{STORE}.PostService/SearchPosts", {"query": "blue ratign:g"})
    expect_equal((error.code, error.reason), ("INVALID_ARGUMENT", "QUERY_SYNTAX"))
    expect_equal((error.metadata["position"], error.metadata["suggestion"]), ("5", "rating"))


def tags_are_counted(cluster: Cluster) -> None:
    """ListTags counts as searches do, most used first, by prefix."""
    listed = cluster.store("TagService", "ListTags", {"pageSize": 1000})["tags"]
    counts = Counter(name for item in search(cluster, "") for name in tags(item))
    used = {tag["name"].removeprefix("tags/"): int(tag["postCount"]) for tag in listed if "postCount" in tag}
    expect_equal(used, dict(counts))
    order = [int(tag.get("postCount", 0)) for tag in listed]
    expect_equal(order, sorted(order, reverse=True))
    blue = cluster.store("TagService", "ListTags", {"prefix": "blue"})["tags"]
    expect(blue and all(tag["name"].startswith("tags/blue") for tag in blue), blue)


def matching_gives_numbers(cluster: Cluster) -> None:
    """MatchQuery streams the numbers that a search finds, ascending; an order is refused."""
    for query in ("", "blue_theme", "-blue_theme", "no_such_tag_at_all"):
        pages = cluster.client("store").stream(f"{STORE}.MatchService/MatchQuery", {"query": query})
        ids = [one for page in pages for one in page.get("ids", [])]
        expect_equal(ids, sorted(number(name) for name in names(search(cluster, query))), query)
    error = cluster.client("store").refused(f"{STORE}.MatchService/MatchQuery", {"query": "a order:size"})
    expect_equal(error.code, "INVALID_ARGUMENT")


def shared_tags_score_as_documented(cluster: Cluster) -> None:
    """MatchTags gives the scores of the formula, computed here anew from what searches say."""
    everything = search(cluster, "")
    frequency = Counter(name for item in everything for name in tags(item))
    def weight(tag: dict) -> float:
        return CATEGORY_WEIGHTS[tag["category"]] * math.log(1 + len(everything) / frequency[tag["name"]])
    subject = post_of(cluster, "scenes/blue.jpg")
    total = sum(weight(tag) for tag in subject["tags"])
    wanted = {}
    for item in everything:
        shared = sum(weight(tag) for tag in subject["tags"] if tag["name"] in tags(item))
        if item["name"] != subject["name"] and shared > 0:
            wanted[item["name"]] = shared / total
    also = [number(item["name"]) for item in everything] + [900]
    answer = cluster.store("MatchService", "MatchTags", {"post": subject["name"], "also": also})
    expect_equal(answer["tags"], len(subject["tags"]))
    got = {match["post"]: match["score"] for match in answer.get("matches", [])}
    expect_equal(set(got), set(wanted))
    for name, score in wanted.items():
        expect(abs(got[name] - score) < 1e-5, f"{name}: {got[name]}, expected {score}")
    scores = [match["score"] for match in answer.get("matches", [])]
    expect_equal(scores, sorted(scores, reverse=True))
    for one, score in zip(also, answer["also"], strict=True):
        # The subject itself shares all of its own tags.
        own = 1.0 if f"posts/{one}" == subject["name"] else wanted.get(f"posts/{one}", 0.0)
        expect(abs(score - own) < 1e-5, f"also {one}: {score}, expected {own}")


def tags_without_a_post(cluster: Cluster) -> None:
    """MatchTags takes a list of tags instead of a post; unknown ones match nothing; a query filters."""
    common = Counter(name for item in search(cluster, "") for name in tags(item)).most_common(1)[0][0]
    answer = cluster.store("MatchService", "MatchTags", {"tags": [common, "no_such_tag_at_all"]})
    expect_equal(sorted(match["post"] for match in answer["matches"]), sorted(names(search(cluster, common))))
    one = names(search(cluster, common))[0]
    filtered = cluster.store("MatchService", "MatchTags", {"tags": [common], "query": f"id:{number(one)}"})
    expect_equal([match["post"] for match in filtered["matches"]], [one])


def figures_agree(cluster: Cluster) -> None:
    """GetStats counts what the other methods show."""
    stats, everything = cluster.stats(), search(cluster, "")
    expect_equal(int(stats["posts"]), len(everything))
    expect_equal(int(stats["associations"]), sum(len(tags(item)) for item in everything))
    expect_equal(int(stats["locationsPresent"]), len(files(cluster.library)))
    for key in ("postsDone", "predictions", "embeddings"):
        expect_equal(int(stats[key]), len(everything), key)
    expect(int(stats["databaseBytes"]) + int(stats["walBytes"]) > 0, stats)


CHECKS = (every_file_is_a_post, one_post_by_each_name, many_posts_in_order, pages_are_whole,
          tokens_belong_to_their_query, searches_agree_with_tags, sets_restrict_and_order, bad_queries_say_where,
          tags_are_counted, matching_gives_numbers, shared_tags_score_as_documented, tags_without_a_post,
          figures_agree)
