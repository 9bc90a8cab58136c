"""What every process says of itself.

Reflection in both versions, health with and without a token, ProcessService.
"""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from calls import Client
from cluster import Cluster
from report import expect, expect_equal

HEALTH = "grpc.health.v1.Health"
PROCESS = "kumo.node.v1.ProcessService/GetProcess"
EVERYWHERE = {"kumo.node.v1.ProcessService", HEALTH, "grpc.reflection.v1.ServerReflection",
              "grpc.reflection.v1alpha.ServerReflection"}
OWN = {
    "store": {f"kumo.store.v1.{name}Service" for name in (
        "Admin", "Capacity", "Edit", "Embedding", "Feed", "Location", "Match", "Model", "Node", "Post",
        "SourceRecord", "Tag", "Task", "Trash")},
    "watcher": {"kumo.media.v1.MediaService"},
    "tagger": {"kumo.tagger.v1.TaggerService"},
    "embedder": {"kumo.embedder.v1.EmbedderService"},
    "similarity": {"kumo.similarity.v1.SimilarityService"},
}


def lists_its_services(cluster: Cluster) -> None:
    """Reflection v1 lists exactly the services that each process serves."""
    for role in cluster.roles:
        names = cluster.client(role).reflection.service_names()
        expect_equal(set(names), OWN[role] | EVERYWHERE, role)


def both_versions_agree(cluster: Cluster) -> None:
    """Reflection v1alpha describes the same methods with the same messages as v1."""
    for role in cluster.roles:
        old = Client(cluster.address(role), cluster.token, "v1alpha")
        try:
            new = cluster.client(role)
            expect_equal(list(old.reflection.methods()), list(new.reflection.methods()), role)
            for path in old.reflection.methods():
                one, other = old.reflection.method(path), new.reflection.method(path)
                expect_equal(one.input_type.full_name, other.input_type.full_name, path)
                expect_equal([field.name for field in one.output_type.fields],
                             [field.name for field in other.output_type.fields], path)
        finally:
            old.close()


def unknown_symbols_are_refused(cluster: Cluster) -> None:
    """Reflection says NOT_FOUND for a symbol that is none."""
    try:
        cluster.client("store").reflection.service("kumo.store.v1.NoService")
    except Exception as error:  # the reflection client turns what the server says into its message
        expect("NOT_FOUND" in str(error) or "not found" in str(error), error)
        return
    raise AssertionError("an unknown service was described")


def tells_who_it_is(cluster: Cluster) -> None:
    """GetProcess tells role, process id, readiness and memory that adds up."""
    for role in cluster.roles:
        said = cluster.client(role).get(PROCESS)
        expect_equal(said["role"], role)
        expect_equal(said["pid"], cluster.announcement(role)["pid"], role)
        expect_equal(said["incarnation"], str(cluster.announcement(role)["incarnation"]), role)
        expect(said["ready"] and "notReadyReasons" not in said, said)
        memory = {key: int(value) for key, value in said["memory"].items() if key != "parts"}
        parts = memory["anonymousBytes"] + memory["fileBytes"] + memory.get("sharedBytes", 0)
        expect_equal(memory["rssBytes"], parts, f"{role}: the sum of its memory")
        expect(memory["peakRssBytes"] >= memory["rssBytes"], memory)


def health_by_service(cluster: Cluster) -> None:
    """Health is SERVING for the process and for each of its services, and NOT_FOUND for others."""
    for role in cluster.roles:
        client = cluster.client(role)
        for service in ["", *sorted(OWN[role])]:
            answer = client.get(f"{HEALTH}/Check", {"service": service})
            expect_equal(answer.get("status"), "SERVING", f"{role} {service}")
        expect_equal(client.refused(f"{HEALTH}/Check", {"service": "no.Such"}).code, "NOT_FOUND", role)
        expect_equal(client.stream(f"{HEALTH}/Watch", most=1), [{"status": "SERVING"}], role)


def health_without_token(cluster: Cluster) -> None:
    """The admin port answers health without a token, and nothing else."""
    for role in cluster.roles:
        with grpc.insecure_channel(cluster.announcement(role)["admin_address"]) as channel:
            health = health_pb2_grpc.HealthStub(channel)
            answer = health.Check(health_pb2.HealthCheckRequest(), timeout=10)
            expect_equal(answer.status, health_pb2.HealthCheckResponse.SERVING, role)
            call = channel.unary_unary("/" + PROCESS)
            try:
                call(b"", timeout=10)
            except grpc.RpcError as error:
                expect_equal(error.code().name, "UNIMPLEMENTED", role)
                continue
            raise AssertionError(f"the admin port of {role} answers GetProcess")


CHECKS = (lists_its_services, both_versions_agree, unknown_symbols_are_refused, tells_who_it_is,
          health_by_service, health_without_token)
