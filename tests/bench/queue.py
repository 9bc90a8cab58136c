"""The queue: many nodes lease tasks and complete them, durably (Q1).

Fills an empty store with posts, then lets simulated nodes, each with a connection of its own, lease
batches and complete them with invented labels until nothing is left. Every answer means that the
results are on disk, so the figure stands beside what one fdatasync costs here.
"""

from .rig import report
from .rig.cluster import Cluster


def main():
    flags = report.flags(__doc__, tasks=(200_000, 5_000, "tasks"), nodes=(64, 64, "nodes"),
                         batch=(32, 32, "tasks in a lease"), tags=(48, 48, "labels in a result"))
    table = report.Report("queue", flags, tasks=flags.tasks, nodes=flags.nodes, batch=flags.batch,
                          tags=flags.tags, labels=10_861)
    with Cluster(flags.programs) as cluster:
        store = cluster.start("store")
        seen = cluster.load("nodes", "--posts", flags.tasks, "--nodes", flags.nodes, "--batch",
                            flags.batch, "--tags", flags.tags, "--labels", 10_861)
        memory = store.memory()
    table.row("Q1", f"tasks leased and completed, {flags.nodes} nodes", seen["tasks_per_s"], "tasks/s",
              least=5_000, samples=seen["rates"])
    table.row("Q1-cpu", "processors that the store used meanwhile",
              seen["store_cpu_s"] / seen["seconds"], "cores", most=1)
    table.row("Q1-task", "CPU of the store a task", 1e6 * seen["store_cpu_s"] / seen["tasks"], "µs")
    for kind, what in (("lease", "LeaseTasks"), ("complete", "CompleteTasks")):
        for share in ("p50", "p99"):
            table.row(f"Q1-{kind}-{share}", f"{what} of {flags.batch}, {share}", seen[kind][f"{share}_ms"],
                      "ms")
    table.row("Q1-fill", "posts registered with their tasks", flags.tasks / seen["filling_s"], "posts/s")
    table.row("Q1-memory", "peak memory of the store", memory["peak"], "MiB")
    table.finish()


if __name__ == "__main__":
    main()
