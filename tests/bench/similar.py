"""Look-alikes: vectors against FAISS flat (V1), and near-duplicates by perceptual hash (V2).

Simulated nodes fill a real store with vectors in clusters and with hashes of pictures that were really
drawn; one in fifty is another encoding of the one before, one in a hundred nearly blank. The similarity
service loads them from the store. V1 takes turns: held-out vectors, one at a time through gRPC, then
the same ones through FAISS on one thread, which also says which the true 20 best are. Then the same
with vectors in no clusters, recall only. V2 lists all groups of near-duplicates.
"""

import json
import subprocess

from .rig import report
from .rig.cluster import Cluster, virtual_environment

BEST = 20
DIMENSIONS = 512


class Flat:
    """FAISS in a process of its own."""

    def __init__(self, python, dump):
        script = __file__.replace("similar.py", "rig/flat.py")
        self.child = subprocess.Popen([str(python), script, str(dump), str(DIMENSIONS)],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.about = self._answer()

    def ask(self, block):
        self.child.stdin.write(f"{block}\n")
        self.child.stdin.flush()
        return self._answer()

    def stop(self):
        self.child.stdin.close()
        self.child.wait()

    def _answer(self):
        line = self.child.stdout.readline()
        if not line:
            raise SystemExit("FAISS ended; its error stands above")
        return json.loads(line)


def main():
    flags = report.flags(__doc__, scale=(1_000_000, 5_000, "posts"), clusters=(10_000, 50, "clusters"),
                         queries=(1_000, 100, "held-out queries"), blocks=(5, 2, "turns"),
                         uniform=(1_000_000, 5_000, "posts of the uniform set; 0 leaves it out"))
    python = virtual_environment("numpy==2.4.6", "faiss-cpu==1.15.1")
    table = report.Report("similar", flags, posts=flags.scale, clusters=flags.clusters,
                          dimensions=DIMENSIONS, best=BEST, queries=flags.queries)
    with Cluster(flags.programs) as cluster:
        similarity, loaded = fill(cluster, flags.scale, flags.clusters)
        vectors(table, flags, cluster, python, loaded, similarity)
        duplicates(table, flags, cluster, similarity)
    if flags.uniform:
        with Cluster(flags.programs) as cluster:
            fill(cluster, flags.uniform, 0)
            _, _, recalls = turns(flags, cluster, python, 0)
            table.median("V1-uniform", "recall@20, vectors in no clusters", recalls, "share")
    table.finish()


def fill(cluster, posts, clusters):
    """A store with vectors and hashes, and the service that has loaded them."""
    cluster.start("store")
    cluster.load("nodes", "--posts", posts, "--dimensions", DIMENSIONS, "--clusters", clusters, "--drawn",
                 "--nodes", 8, "--batch", 128)
    similarity = cluster.start("similarity")
    seen = cluster.load("similar", "--into", cluster.folder / "loaded", "--vectors", 0)
    return similarity, seen["loading_s"]


def turns(flags, cluster, python, clusters):
    """Blocks of the same queries, ours and FAISS by turns: times of both, and recalls."""
    # The vectors as the store has them, from which FAISS is filled.
    dump = cluster.folder / "dump"
    cluster.load("dump", "--into", dump)
    flat = Flat(python, dump)
    ours, theirs, recalls = [], [], []
    size = flags.queries // flags.blocks
    for number in range(flags.blocks):
        block = cluster.folder / f"block-{number}"
        seen = cluster.load("similar", "--into", block, "--vectors", size, "--first", number * size,
                            "--best", BEST, "--clusters", clusters)
        said = flat.ask(block)
        ours += seen["vector_ms"]
        theirs += said["times_ms"]
        recalls.append(said["recall"])
    flat.stop()
    return ours, theirs, recalls


def vectors(table, flags, cluster, python, loaded, similarity):
    """V1."""
    resident = similarity.memory()
    ours, theirs, recalls = turns(flags, cluster, python, flags.clusters)
    table.median("V1-recall", "recall@20 against FAISS flat", recalls, "share", least=0.99, ratio=True)
    table.row("V1", "FindSimilar by vector over gRPC, p99", report.quantile(ours, 0.99), "ms", most=10,
              samples=ours)
    table.row("V1-p50", "the same, p50", report.quantile(ours, 0.5), "ms")
    table.row("V1-faiss", "FAISS flat, one thread, p50", report.quantile(theirs, 0.5), "ms", samples=theirs)
    table.row("V1-ratio", "ours over FAISS flat, p50",
              report.quantile(ours, 0.5) / report.quantile(theirs, 0.5), "ratio", most=1, ratio=True)
    table.row("V1-memory", "memory of the service with everything loaded", resident["rss"], "MiB")
    table.row("V1-load", "loading everything from the store", loaded, "s")


def duplicates(table, flags, cluster, similarity):
    """V2."""
    asked = cluster.load("similar", "--into", cluster.folder / "hashes", "--vectors", 0, "--hashes", 1_000)
    before = similarity.memory()["rss"]
    similarity.forget_peak()
    seen = cluster.load("similar", "--into", cluster.folder / "hashes", "--vectors", 0, "--duplicates")
    found = seen["duplicates"]
    table.row("V2", "CPU to list all near-duplicates", seen["duplicates_cpu_s"], "s", most=5)
    table.row("V2-memory", "memory that this took at its peak", similarity.memory()["peak"] - before, "MiB",
              most=200)
    table.row("V2-query", "one query by perceptual hash, within 10 bits, over gRPC, p50", asked["near"]["p50_ms"],
              "ms", most=0.5, samples=asked["near_ms"])
    table.row("V2-query-p99", "the same, p99", asked["near"]["p99_ms"], "ms")
    table.row("V2-nearest", "the 20 nearest by perceptual hash, however far, over gRPC, p50",
              asked["hash"]["p50_ms"], "ms", samples=asked["hash_ms"])
    table.row("V2-wall", "time to the first page of groups", found["first_page_s"], "s")
    # One in fifty is the one before again; those of which one is nearly blank are set apart.
    table.row("V2-groups", "groups found, over those that were planted",
              found["total"] / (flags.scale / 50), "ratio")
    table.row("V2-blank", "nearly blank ones set apart", found["near_blank"], "posts")


if __name__ == "__main__":
    main()
