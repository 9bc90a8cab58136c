"""The lease protocol and the queue's upkeep, as a node of ours.

TaskService.
"""

from checks.library import STORE, names, post, search, tags
from checks.models import listed
from cluster import Cluster, wait_until
from report import expect, expect_equal

NODE = {"node": "outside-node", "incarnation": "41"}
SERVICE = f"{STORE}.TaskService"


def model(cluster: Cluster) -> str:
    """The model that this node serves."""
    return listed(cluster)["outside-tagger"]["name"]


def register(cluster: Cluster, node: dict) -> None:
    """Announces a node that serves the model."""
    request = {**node, "kind": "MODEL_KIND_TAG", "models": [model(cluster)], "deviceClass": "DEVICE_CLASS_CPU"}
    cluster.store("NodeService", "RegisterNode", request)


def lease(cluster: Cluster, count: int = 1, node: dict | None = None) -> dict:
    """Leases tasks, waiting for them."""
    request = {**(node or NODE), "model": model(cluster), "maxTasks": count, "wait": "10s"}
    return cluster.store("TaskService", "LeaseTasks", request)


def held(tasks: list[dict]) -> list[dict]:
    """The leases of tasks, as they are sent back."""
    return [{"task": task["name"], "token": task["token"]} for task in tasks]


def result(task: dict, confidences: list[float]) -> dict:
    """A result of a task: the labels in order with these confidences."""
    return {"task": task["name"], "token": task["token"], "renderRevision": task["renderRevision"],
            "tags": {"labels": list(range(len(confidences))), "confidences": confidences}}


def tasks_are_leased(cluster: Cluster) -> None:
    """LeaseTasks gives tasks with the sample's place, checksum and a token, and a time to live."""
    register(cluster, NODE)
    cluster.store("ModelService", "ActivateModel", {"name": model(cluster)})
    posts = int(cluster.stats()["posts"])
    cluster.model_tasks(model(cluster), posts)
    answer = lease(cluster, 3)
    expect_equal(len(answer["tasks"]), 3)
    expect_equal((answer["ttl"], answer["renewEvery"]), ("60s", "20s"))
    for task in answer["tasks"]:
        sample = post(cluster, task["post"])["sample"]
        expect_equal((task["sampleSha256"], task["sampleByteSize"]), (sample["sha256"], sample["byteSize"]))
        expect_equal(task["attempt"], 1)
        expect(task["sources"] and task["sources"][0]["address"].endswith(cluster.address("watcher")), task)
    cluster.store("TaskService", "ReleaseLeases", {**NODE, "leases": held(answer["tasks"])})
    expect_equal({task["state"] for task in cluster.model_tasks(model(cluster), posts)}, {"TASK_STATE_QUEUED"})


def a_result_becomes_tags(cluster: Cluster) -> None:
    """MarkRunning, RenewLeases, CompleteTasks: the result is stored, searched, and harmless when repeated."""
    task = lease(cluster)["tasks"][0]
    leases = {**NODE, "leases": held([task])}
    expect_equal(cluster.store("TaskService", "MarkRunning", leases), {})
    expect_equal(cluster.store("TaskService", "RenewLeases", leases), {"ttl": "60s"})
    delivery = {**NODE, "results": [result(task, [0.9, 0.2, 0.7])]}
    done = cluster.store("TaskService", "CompleteTasks", delivery)["completions"]
    expect_equal(done, [{"task": task["name"], "state": "COMPLETION_STATE_ACCEPTED"}])
    again = cluster.store("TaskService", "CompleteTasks", delivery)["completions"]
    expect_equal(again[0]["state"], "COMPLETION_STATE_REPEATED")
    item = post(cluster, task["post"])
    expect("outside_cloud" in tags(item) and "outside_sun" not in tags(item), tags(item))
    expect_equal(names(search(cluster, "outside_cloud")), [task["post"]])
    said = [one for one in item["predictions"] if one["modelName"] == "outside-tagger"][0]
    shown = [(tag["name"], round(tag["confidence"], 2)) for tag in said["tags"]]
    expect_equal(shown, [("outside_cloud", 0.9), ("questionable", 0.7), ("outside_sun", 0.2)])
    expect_equal((said["node"], said["device"]), ("outside-node", "cpu"))


def malformed_results_are_refused(cluster: Cluster) -> None:
    """Unknown labels, bad confidences and vectors for a tagger are refused; the lease stays."""
    task = lease(cluster)["tasks"][0]
    base = {"task": task["name"], "token": task["token"], "renderRevision": task["renderRevision"]}
    wrong = (
        {"tags": {"labels": [3], "confidences": [0.5]}}, {"tags": {"labels": [0], "confidences": [1.5]}},
        {"tags": {"labels": [0], "confidences": ["NaN"]}}, {"tags": {"labels": [0, 0], "confidences": [0.5, 0.5]}},
        {"tags": {"labels": [0, 1], "confidences": [0.5]}}, {"embedding": {"vector": "AAAA"}},
    )
    for one in wrong:
        answer = cluster.store("TaskService", "CompleteTasks", {**NODE, "results": [base | one]})
        expect_equal(answer["completions"][0]["state"], "COMPLETION_STATE_REFUSED", str(one))
        expect(answer["completions"][0]["message"], str(one))
    stale = {**NODE, "leases": [{"task": task["name"], "token": {"epoch": task["token"]["epoch"], "counter": "1"}}]}
    expect_equal(cluster.store("TaskService", "RenewLeases", stale)["lost"], [task["name"]])
    expect("lost" not in cluster.store("TaskService", "RenewLeases", {**NODE, "leases": held([task])}), "lost")
    cluster.store("TaskService", "ReleaseLeases", {**NODE, "leases": held([task])})
    late = cluster.store("TaskService", "CompleteTasks", {**NODE, "results": [result(task, [0.9])]})
    expect_equal(late["completions"][0]["state"], "COMPLETION_STATE_STALE")


def failures_are_listed_and_retried(cluster: Cluster) -> None:
    """FailTasks, ListTasks, RetryTasks: a failed task has its reason, and is queued again when a person says so."""
    task = lease(cluster)["tasks"][0]
    failure = {"task": task["name"], "token": task["token"], "cause": "FAILURE_CAUSE_PERMANENT",
               "reason": "OUTSIDE_REASON", "message": "a text for people"}
    expect_equal(cluster.store("TaskService", "FailTasks", {**NODE, "failures": [failure]}), {})
    failed = cluster.store("TaskService", "ListTasks", {"state": "TASK_STATE_FAILED"})["tasks"]
    shown = {one["name"]: one for one in failed}[task["name"]]
    expect_equal((shown["reason"], shown["message"], shown["post"], shown["model"]),
                 ("OUTSIDE_REASON", "a text for people", task["post"], task["model"]))
    expect_equal(cluster.stats()["tasksFailed"], "1")
    answer = cluster.store("TaskService", "RetryTasks", {"names": [task["name"], "tasks/999999"]})
    expect_equal(answer, {"retried": "1", "skipped": ["tasks/999999"]})
    again = cluster.store("TaskService", "FailTasks", {**NODE, "failures": [failure]})
    expect_equal(again["stale"], [task["name"]])


def crashes_make_suspects(cluster: Cluster) -> None:
    """ReportCrash: what was running is a suspect and leased alone; two crashes fail it as POISON."""
    crashed: list[str] = []
    for incarnation in ("51", "52"):
        node = {"node": "outside-crasher", "incarnation": incarnation}
        register(cluster, node)
        answer = lease(cluster, 1, node)
        task = answer["tasks"][0]
        expect_equal(answer.get("alone", False), bool(crashed))
        cluster.store("TaskService", "MarkRunning", {**node, "leases": held([task])})
        # Named both times: the first makes it a suspect, the second makes it fail.
        expect_equal(cluster.store("TaskService", "ReportCrash", node)["suspects"], [task["name"]])
        crashed.append(task["name"])
    expect_equal(crashed[0], crashed[1])
    failed = cluster.store("TaskService", "ListTasks", {"state": "TASK_STATE_FAILED"})["tasks"]
    shown = [one for one in failed if one["name"] == crashed[0]][0]
    expect_equal((shown["reason"], shown["crashes"]), ("POISON", 2))
    cluster.store("TaskService", "RetryTasks", {"allFailed": True, "reason": "POISON"})


def the_queue_is_paused(cluster: Cluster) -> None:
    """PauseQueue stops leasing and says so, to people too; ResumeQueue starts it."""
    def told() -> list[str]:
        return [one["kind"] for one in cluster.store("ModelService", "ListModels")["models"] if one.get("paused")]
    cluster.store("TaskService", "PauseQueue", {"kind": "MODEL_KIND_TAG"})
    request = {**NODE, "model": model(cluster), "maxTasks": 1}
    paused = cluster.store("TaskService", "LeaseTasks", request)
    expect("tasks" not in paused, paused)
    expect_equal(paused["idleReason"], "PAUSED")
    expect(set(told()) == {"MODEL_KIND_TAG"}, told())
    cluster.store("TaskService", "ResumeQueue", {"kind": "MODEL_KIND_TAG"})
    expect_equal(told(), [])
    resumed = wait_until("tasks are leased again", lambda: lease(cluster).get("tasks"), 10)
    cluster.store("TaskService", "ReleaseLeases", {**NODE, "leases": held(resumed)})


def strangers_get_nothing(cluster: Cluster) -> None:
    """A node that is not registered, or an old incarnation, is refused; an unknown model is NOT_FOUND."""
    for node in ({"node": "nobody", "incarnation": "1"}, {**NODE, "incarnation": "1"}):
        error = cluster.client("store").refused(
            f"{SERVICE}/LeaseTasks", {**node, "model": model(cluster), "maxTasks": 1})
        expect_equal((error.code, error.reason), ("FAILED_PRECONDITION", "STALE_INCARNATION"), str(node))
    error = cluster.client("store").refused(f"{SERVICE}/LeaseTasks", {**NODE, "model": "models/99", "maxTasks": 1})
    expect_equal(error.code, "NOT_FOUND")
    cluster.store("ModelService", "DeactivateModel", {"name": model(cluster)})
    cluster.settle()


CHECKS = (tasks_are_leased, a_result_becomes_tags, malformed_results_are_refused, failures_are_listed_and_retried,
          crashes_make_suspects, the_queue_is_paused, strangers_get_nothing)
