"""Search: three tags and one that must not be there (S1), and how long the store takes to start (S4).

At L1 and L2. Queries are drawn as often as posts have the tags, and each is asked once: in the store
itself, from text to the ids of a page of 100 and the exact count, and over gRPC, with the posts of the
page; some queries of other kinds beside (of S5). Starting is measured from the start of the process to its first answer.
"""

import json
import subprocess
import time

from .rig import report
from .rig.cluster import Cluster
from .rig.library import library


def main():
    flags = report.flags(__doc__, queries=(10_000, 500, "queries"), starts=(5, 2, "starts"),
                         small=(13_028, 500, "posts of L1"), large=(1_000_000, 3_000, "posts of L2"))
    table = report.Report("search", flags, queries=flags.queries, small=flags.small, large=flags.large)
    measure(table, flags, "L1", "L1" if flags.small == 13_028 else str(flags.small), ready=0.5)
    measure(table, flags, "L2", "L2" if flags.large == 1_000_000 else str(flags.large), ready=6)
    table.finish()


def measure(table, flags, name, kind, ready):
    data = library(flags.programs, kind, vectors=name == "L1")
    queries = data.parent / f"queries-{name}.txt"
    command = [flags.programs / "examples/search_library", data, queries, flags.queries]
    seen = json.loads(subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE).stdout)
    table.facts["sizes"][name] = {key: seen[key] for key in ("posts", "tags", "associations")}
    target = {"most": 500} if name == "L2" else {}
    table.row(f"S1-{name}", f"{name}: ids and count of 3 tags AND NOT one, in the store, p99",
              report.quantile(seen["times_us"], 0.99), "µs", samples=seen["times_us"], **target)
    table.row(f"S1-{name}-p50", f"{name}: the same, p50", report.quantile(seen["times_us"], 0.5), "µs")
    for what, (p50, p99) in seen["kinds_us"].items():
        kind = f"S5-{name}-{what.replace(' ', '-')}"
        limit = {"most": 20_000} if name == "L2" else {}
        table.row(kind, f"{name}: {what}, in the store, p99", p99, "µs", **limit)
        table.row(f"{kind}-p50", f"{name}: the same, p50", p50, "µs")
    limit = {"most": 4, "ratio": True} if name == "L2" else {}
    table.row(f"M7-{name}-index", f"{name}: index", seen["index_bytes"] / max(1, seen["associations"]),
              "B/assoc.", **limit)
    starts = []
    with Cluster(flags.programs, data) as cluster:
        for number in range(flags.starts):
            begun = time.monotonic()
            store = cluster.start("store")
            cluster.load("drain")
            starts.append(time.monotonic() - begun)
            if number + 1 < flags.starts:
                store.stop()
        asked = cluster.load("questions", "--queries", queries, "--count", flags.queries)
        memory = store.memory()
    table.median(f"S4-{name}", f"{name}: start to the first answer", starts, "s", most=ready)
    table.row(f"S1-{name}-grpc", f"{name}: the same as S1 over gRPC with 100 posts, p99",
              asked["search"]["p99_ms"], "ms", samples=asked["times_ms"])
    table.row(f"S1-{name}-grpc50", f"{name}: over gRPC, p50", asked["search"]["p50_ms"], "ms")
    limit = {"most": 400} if name == "L2" else {}
    table.row("M7" if name == "L2" else "S1-memory", f"{name}: memory of the store after these queries",
              memory["rss"], "MiB", **limit)


if __name__ == "__main__":
    main()
