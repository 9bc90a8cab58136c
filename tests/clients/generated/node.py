"""A tagging node in Python, written against the generated client alone, as other people would write one.

    node.py STORE TOKEN_FILE

Its model is a simple one: whether the length of the sample is even or odd. Each step is checked; the
exit code is 1 if one is not as it must be.
"""

import hashlib
import pathlib
import sys
import time

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from kumo.media.v1 import media_service_pb2 as media, media_service_pb2_grpc as media_grpc
from kumo.store.v1 import (
    edit_service_pb2 as edits, edit_service_pb2_grpc as edits_grpc,
    feed_service_pb2 as feed, feed_service_pb2_grpc as feed_grpc,
    model_service_pb2 as models, model_service_pb2_grpc as models_grpc,
    node_service_pb2 as nodes, node_service_pb2_grpc as nodes_grpc,
    post_service_pb2 as posts, post_service_pb2_grpc as posts_grpc,
    rating_pb2 as ratings, tag_service_pb2 as tags,
    task_service_pb2 as tasks, task_service_pb2_grpc as tasks_grpc,
    trash_service_pb2 as trash, trash_service_pb2_grpc as trash_grpc,
)

from report import Report, expect, expect_equal

NODE, INCARNATION = "python-node", time.time_ns()
LABELS = ("even_sample", "odd_sample")
WAIT_SECONDS = 30


class Token(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Sends the token, and a deadline, with every call."""

    def __init__(self, token: str) -> None:
        self._token = token

    def intercept_unary_unary(self, continuation, details, request):
        return continuation(self._with(details), request)

    def intercept_unary_stream(self, continuation, details, request):
        return continuation(self._with(details), request)

    def _with(self, details):
        metadata = [*(details.metadata or ()), ("authorization", f"Bearer {self._token}")]
        return details._replace(metadata=metadata, timeout=details.timeout or WAIT_SECONDS)


class Node:
    """The node, and what it knows of the cluster."""

    def __init__(self, store: str, token: str) -> None:
        self._token = Token(token)
        channel = self._connect(store)
        self.edits = edits_grpc.EditServiceStub(channel)
        self.feed = feed_grpc.FeedServiceStub(channel)
        self.models = models_grpc.ModelServiceStub(channel)
        self.nodes = nodes_grpc.NodeServiceStub(channel)
        self.posts = posts_grpc.PostServiceStub(channel)
        self.tasks = tasks_grpc.TaskServiceStub(channel)
        self.trash = trash_grpc.TrashServiceStub(channel)
        self.all: list[posts.Post] = []
        self.cursor = feed.Cursor()
        self.model = ""

    def _connect(self, address: str) -> grpc.Channel:
        return grpc.intercept_channel(grpc.insecure_channel(address.removeprefix("http://")), self._token)

    def uploads_nothing(self) -> None:
        """an empty upload is answered with nothing"""
        expect_equal(len(self.posts.RegisterPosts(posts.RegisterPostsRequest()).posts), 0)

    def searches_and_gets(self) -> None:
        """it searches, and gets what it found"""
        self.all = list(self.posts.SearchPosts(posts.SearchPostsRequest(query="order:oldest")).posts)
        expect(self.all, "the library is empty")
        for found in self.all:
            got = self.posts.GetPost(posts.GetPostRequest(name=found.name)).post
            expect_equal((got.sha256, got.tags), (found.sha256, found.tags), found.name)
            expect(got.locations and got.predictions, f"{found.name} has no file or no prediction")

    def follows_from_now(self) -> None:
        """it takes a cursor of the feed"""
        changed, self.cursor = self.changes(feed.Cursor())
        expect_equal(changed, {post.name for post in self.all})

    def registers(self) -> None:
        """it registers a model of its own, and itself"""
        general = tags.TAG_CATEGORY_GENERAL
        answer = self.models.RegisterModel(models.RegisterModelRequest(
            kind=models.MODEL_KIND_TAG, display_name="python-tagger",
            revision=hashlib.sha256(b"python-tagger 1").hexdigest(),
            labels=[models.Label(name=name, category=general) for name in LABELS],
            thresholds=[models.Threshold(category=general, confidence=0.5)]))
        self.model = answer.model.name
        self.nodes.RegisterNode(nodes.RegisterNodeRequest(
            node=NODE, incarnation=INCARNATION, kind=models.MODEL_KIND_TAG, models=[self.model],
            device_class=nodes.DEVICE_CLASS_CPU, device_proof="it is Python", version="1"))

    def waits_for_work(self) -> None:
        """without work, a long poll lasts as long as asked and brings nothing"""
        begun = time.monotonic()
        expect_equal(len(self.lease(seconds=1).tasks), 0)
        expect(0.8 < time.monotonic() - begun < 5, f"it took {time.monotonic() - begun:.1f} s")

    def is_woken(self) -> None:
        """a long poll that waits is woken by the activation of its model"""
        request = self.lease_request(seconds=20)
        waiting = self.tasks.LeaseTasks.future(request)
        time.sleep(0.3)
        expect(not waiting.done(), "it did not wait")
        begun = time.monotonic()
        self.models.ActivateModel(models.ActivateModelRequest(name=self.model))
        answer = waiting.result()
        expect(answer.tasks, "it was not woken")
        expect(time.monotonic() - begun < 10, f"it was woken after {time.monotonic() - begun:.1f} s")
        self.work(answer)

    def works_all_off(self) -> None:
        """it leases, fetches, marks, renews and completes until every post is done"""
        end = time.monotonic() + WAIT_SECONDS
        while self.done() < len(self.all):
            expect(time.monotonic() < end, f"{self.done()} of {len(self.all)} are done")
            self.work(self.lease(seconds=2))

    def tags_are_effective(self) -> None:
        """its tags are effective: searches find them"""
        found: set[str] = set()
        for name in LABELS:
            page = self.posts.SearchPosts(posts.SearchPostsRequest(query=name))
            for post in page.posts:
                expect_equal(LABELS[post.sample.byte_size % 2], name, post.name)
            found |= {post.name for post in page.posts}
        expect_equal(found, {post.name for post in self.all})

    def feed_told_it(self) -> None:
        """the feed told of every post, from the cursor on; another epoch must resync"""
        changed, self.cursor = self.changes(self.cursor)
        expect_equal(changed, {post.name for post in self.all})
        expect_equal(self.changes(self.cursor), (set(), self.cursor))
        try:
            self.changes(feed.Cursor(epoch=self.cursor.epoch ^ 1, seq=1))
        except grpc.RpcError as error:
            expect_equal((error.code(), reason(error)), (grpc.StatusCode.OUT_OF_RANGE, "RESYNC_REQUIRED"))
            return
        raise AssertionError("a cursor of another epoch was taken")

    def edits_a_post(self) -> None:
        """it edits a post; the edit outweighs its own model"""
        post = self.all[0]
        own = LABELS[post.sample.byte_size % 2]
        edit = edits.PostEdit(post=post.name, add=[edits.NewTag(name="seen_by_python")], remove=[own],
                              rating=ratings.RATING_GENERAL)
        answer = self.edits.EditPosts(edits.EditPostsRequest(edits=[edit])).posts[0]
        expect("seen_by_python" in answer.tags and own not in answer.tags, answer)
        expect_equal(answer.rating, ratings.RATING_GENERAL)
        changed, self.cursor = self.changes(self.cursor)
        expect_equal(changed, {post.name})

    def trashes_and_restores(self) -> None:
        """it trashes a post and brings it back as it was"""
        name = self.all[0].name
        before = self.posts.GetPost(posts.GetPostRequest(name=name)).post
        self.trash.TrashPosts(trash.TrashPostsRequest(names=[name]))
        page = self.posts.SearchPosts(posts.SearchPostsRequest(query="seen_by_python"))
        expect_equal((page.total_size, len(page.posts)), (0, 0))
        self.trash.RestorePosts(trash.RestorePostsRequest(names=[name]))
        after = self.posts.GetPost(posts.GetPostRequest(name=name)).post
        expect_equal((after.tags, after.rating, after.HasField("trash_time")), (before.tags, before.rating, False))

    def leaves(self) -> None:
        """it puts its model away; results stay"""
        answer = self.models.DeactivateModel(models.DeactivateModelRequest(name=self.model))
        expect_equal((answer.model.active, answer.model.done), (False, len(self.all)))

    def lease_request(self, seconds: int) -> tasks.LeaseTasksRequest:
        """A request for up to two tasks."""
        request = tasks.LeaseTasksRequest(node=NODE, incarnation=INCARNATION, model=self.model, max_tasks=2)
        request.wait.seconds = seconds
        return request

    def lease(self, seconds: int) -> tasks.LeaseTasksResponse:
        """Leases up to two tasks."""
        return self.tasks.LeaseTasks(self.lease_request(seconds))

    def work(self, answer: tasks.LeaseTasksResponse) -> None:
        """Does what was leased."""
        leases = [tasks.TaskLease(task=task.name, token=task.token) for task in answer.tasks]
        held = {"node": NODE, "incarnation": INCARNATION, "leases": leases}
        lengths = [self.fetch(task) for task in answer.tasks]
        expect_equal(list(self.tasks.MarkRunning(tasks.MarkRunningRequest(**held)).lost), [])
        renewed = self.tasks.RenewLeases(tasks.RenewLeasesRequest(**held))
        expect_equal((list(renewed.lost), renewed.ttl.seconds), ([], answer.ttl.seconds))
        results = [
            tasks.TaskResult(task=task.name, token=task.token, render_revision=task.render_revision,
                             tags=tasks.TagResult(labels=[length % 2], confidences=[0.75]))
            for task, length in zip(answer.tasks, lengths, strict=True)
        ]
        delivery = tasks.CompleteTasksRequest(node=NODE, incarnation=INCARNATION, results=results)
        for state in (tasks.COMPLETION_STATE_ACCEPTED, tasks.COMPLETION_STATE_REPEATED):
            done = self.tasks.CompleteTasks(delivery).completions
            expect_equal([one.state for one in done], [state] * len(results))

    def fetch(self, task: tasks.LeasedTask) -> int:
        """Fetches a sample from its watcher and verifies it; its length."""
        watcher = media_grpc.MediaServiceStub(self._connect(task.sources[0].address))
        key = media.SampleKey(sha256=task.sha256, render_revision=task.render_revision)
        sample = b"".join(page.data for page in watcher.ReadSamples(media.ReadSamplesRequest(samples=[key])))
        expect_equal(hashlib.sha256(sample).hexdigest(), task.sample_sha256, task.name)
        return len(sample)

    def done(self) -> int:
        """Posts that have a result of this model."""
        listed = self.models.ListModels(models.ListModelsRequest()).models
        return next(model.done for model in listed if model.name == self.model)

    def changes(self, cursor: feed.Cursor) -> tuple[set[str], feed.Cursor]:
        """Posts that changed after a cursor, and the cursor after it."""
        request = feed.WatchChangesRequest(until_now=True)
        if cursor.epoch:
            request.cursor.CopyFrom(cursor)
        changed: set[str] = set()
        for page in self.feed.WatchChanges(request):
            changed |= {change.post for change in page.changes}
            cursor = page.cursor
        return changed, cursor


def reason(error: grpc.RpcError) -> str:
    """The reason code of an error."""
    status, info = rpc_status.from_call(error), error_details_pb2.ErrorInfo()
    for detail in status.details if status else ():
        if detail.Unpack(info):
            return info.reason
    return ""


def main() -> int:
    """Does the steps in order; each needs those before it."""
    node = Node(sys.argv[1], pathlib.Path(sys.argv[2]).read_text().strip())
    report = Report()
    steps = (node.uploads_nothing, node.searches_and_gets, node.follows_from_now, node.registers,
             node.waits_for_work, node.is_woken, node.works_all_off, node.tags_are_effective, node.feed_told_it,
             node.edits_a_post, node.trashes_and_restores, node.leaves)
    for step in steps:
        if not report.run(str(step.__doc__), step):
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
