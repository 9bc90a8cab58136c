"""Who may call, what an error carries, and how long a call may take."""

import time

from cluster import Cluster
from report import expect, expect_equal

STORE = "kumo.store.v1"


def everything_needs_a_token(cluster: Cluster) -> None:
    """Without a token every method of every process answers UNAUTHENTICATED."""
    refuse_everywhere(cluster, [])


def wrong_tokens_are_refused(cluster: Cluster) -> None:
    """With a token that nobody issued, or another scheme, every method is refused."""
    refuse_everywhere(cluster, [("authorization", "Bearer " + "x" * 43)])
    refuse_everywhere(cluster, [("authorization", f"Basic {cluster.token}")])


def refuse_everywhere(cluster: Cluster, headers: list[tuple[str, str]]) -> None:
    """Calls every method so; each must refuse."""
    for role in cluster.roles:
        client = cluster.client(role)
        for path in client.reflection.methods():
            error = client.refused(path, headers=headers, seconds=10)
            expect_equal(error.code, "UNAUTHENTICATED", f"{role} {path}")
            expect_equal(error.reason, "UNAUTHENTICATED", f"{role} {path}")


def errors_carry_reasons(cluster: Cluster) -> None:
    """Errors carry google.rpc.ErrorInfo with domain, reason and the variables of the sentence."""
    error = cluster.client("store").refused(f"{STORE}.PostService/GetPost", {"name": "posts/4000000"})
    expect_equal((error.code, error.reason), ("NOT_FOUND", "NO_SUCH_POST"))
    expect_equal(error.details[0]["domain"], "kumobooru")
    expect_equal(error.metadata["name"], "posts/4000000")
    expect("posts/4000000" in error.message, error.message)


def bad_names_are_told(cluster: Cluster) -> None:
    """Names that are none, and numbers out of range, are INVALID_ARGUMENT with a sentence."""
    for name in ("", "posts/", "posts/0", "posts/x", "tags/1", "posts/99999999999", "posts/sha256:abc"):
        error = cluster.client("store").refused(f"{STORE}.PostService/GetPost", {"name": name})
        expect(error.code in ("INVALID_ARGUMENT", "NOT_FOUND"), f"{name!r}: {error}")
        expect(error.reason and error.message, f"{name!r}: {error}")


def too_many_is_refused(cluster: Cluster) -> None:
    """A call with more items than its comment allows is refused as a whole."""
    names = [f"posts/{number}" for number in range(1, 1002)]
    error = cluster.client("store").refused(f"{STORE}.PostService/BatchGetPosts", {"names": names})
    expect_equal((error.code, error.reason), ("INVALID_ARGUMENT", "TOO_MANY"))


def deadlines_are_honoured(cluster: Cluster) -> None:
    """A stream that never ends is ended by the caller's deadline, with that reason."""
    for path in (f"{STORE}.CapacityService/WatchDemand", f"{STORE}.FeedService/WatchChanges"):
        begun = time.monotonic()
        answer = cluster.client("store").ask(path, seconds=0.7)
        taken = time.monotonic() - begun
        expect(answer.error is not None and answer.error.code == "DEADLINE_EXCEEDED", answer)
        expect(0.5 < taken < 5, f"{path} ended after {taken:.1f} s")
        expect(answer.messages, f"{path} sent nothing at once")


CHECKS = (everything_needs_a_token, wrong_tokens_are_refused, errors_carry_reasons, bad_names_are_told,
          too_many_is_refused, deadlines_are_honoured)
