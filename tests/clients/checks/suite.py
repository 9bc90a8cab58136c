"""All checks by reflection, and whether they left out a method."""

from checks import (access, embeddings, facts, feed, lookalikes, media, models, nodes, places, posts, processes,
                    tagging, tasks, trash)
from cluster import ROLES, Cluster
from report import Failed, Report, expect

PICTURES = (
    "objects/red-on-white.png", "objects/blue-on-white.png", "objects/green-on-white.png",
    "gradients/blue.jpg", "gradients/pink.jpg", "gradients/red.jpg",
    "scenes/blue.jpg", "scenes/green.jpg", "scenes/night.jpg", "scenes/red.jpg",
)
PARTS = (processes, access, posts, facts, feed, embeddings, media, models, tasks, nodes, places, tagging,
         lookalikes, trash)


class Everything:
    """Every method of every service, called as grpcurl would."""

    def __init__(self, cluster: Cluster, report: Report) -> None:
        self._cluster = cluster
        self._report = report

    def run(self) -> None:
        """Starts the cluster, runs the checks of every part, then counts what was called."""
        self._report.section("by reflection: a cluster on a folder of generated pictures")
        self._report.run("every program is built", self._built)
        if not self._report.run("`kumo up` starts, catalogues, tags and embeds", self._start):
            return
        for part in PARTS:
            self._report.section(f"by reflection: {title(part)}")
            for check in part.CHECKS:
                self._report.run(title(check), lambda check=check: check(self._cluster))
        self._report.section("by reflection: completeness")
        for role in ROLES:
            self._report.run(f"every method of the {role} was called and answered",
                             lambda role=role: self._covered(role))

    def _built(self) -> None:
        missing = [role for role in ROLES if not self._cluster.has(role)]
        expect(not missing, f"not built: {', '.join(missing)}")

    def _start(self) -> None:
        for name in PICTURES:
            self._cluster.place(name)
        self._cluster.up()
        self._cluster.settle_posts(len(PICTURES))
        self._cluster.wake("tagger", "MODEL_KIND_TAG")
        self._cluster.wake("embedder", "MODEL_KIND_EMBED")

    def _covered(self, role: str) -> None:
        client = self._cluster.client(role)
        # Reflection itself was called for every descriptor above.
        missing = [path for path in client.reflection.methods()
                   if ".reflection." not in path and not client.answered[path]]
        if missing:
            raise Failed(f"nothing checks {', '.join(missing)}")


def title(item: object) -> str:
    """The first line of what a part or a check says of itself."""
    return (item.__doc__ or "").strip().splitlines()[0].rstrip(".")
