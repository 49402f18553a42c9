"""The documents: what they take, what they refuse, and what editors are told of them."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from schemas.export import DOCUMENTS, json_schema
from schemas.jobs import JobSpec
from schemas.manifest import Manifest
from schemas.names import BlobRef, FileRef, model_ref
from schemas.pipelines import PipelineSpec
from schemas.schedules import Schedule
from schemas.tasks import TaskSpec
from schemas.topics import MANIFEST, RUN_EVENTS, check_filter, check_template, matches

JOB: dict[str, Any] = {"name": "retrain", "model": "iris", "edge": "press-1", "scripts": ["train.py"]}


@pytest.mark.parametrize("name", sorted(DOCUMENTS))
def test_every_document_has_a_schema(name: str) -> None:
    """Each exported schema is JSON and says what it describes."""
    schema = json.loads(json.dumps(json_schema(name)))
    assert schema["$schema"].endswith("2020-12/schema")
    assert {"properties", "oneOf"} & schema.keys()


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"shedule": {}}, "shedule"),
        ({"edge": "Press 1"}, "edge"),
        ({"scripts": []}, "scripts"),
        ({"scripts": ["a/train.py", "b/train.py"]}, "two scripts are called train.py"),
        ({"schedule": {"every": "5 minutes"}}, "no duration"),
        ({"schedule": {"every": "5m", "cron": "* * * * *"}}, "exactly one"),
        ({"schedule": {"cron": "* * *"}}, "five fields"),
        ({"schedule": {"every": "5m", "timezone": "Mars/Phobos"}}, "no time zone"),
        ({"queries": [{"query": "SELECT 1", "new_data_only": True}]}, "needs `collection`"),
        ({"metrics": ["accuracy", "accuracy"]}, "two metrics are called accuracy"),
        ({"gate": {"metric": "f1"}}, "none of the job's metrics"),
        ({"misfire": "catch_up"}, "write overlap: queue"),
    ],
)
def test_a_jobs_mistake_is_named(change: dict[str, Any], place: str) -> None:
    """What people write is refused with the key or the reason, not silently ignored."""
    with pytest.raises(ValidationError, match=place):
        JobSpec.model_validate({**JOB, **change})


def test_durations_are_written_as_people_say_them() -> None:
    """`90s`, `1.5h` and plain seconds are the same kind of thing."""
    written = [Schedule.model_validate({"every": text}).every for text in ("90s", "1.5h", "2d", 7)]
    assert written == [90, 5400, 172800, 7]


def test_a_newer_controllers_manifest_is_understood() -> None:
    """Unknown fields on the wire are left alone, so that old edges survive new controllers."""
    manifest = Manifest(edge="press-1", generation=3)
    newer = json.loads(manifest.to_wire()) | {"something_new": {"x": 1}}
    assert Manifest.model_validate(newer) == manifest


@pytest.mark.parametrize(
    ("text", "meaning"), [("iris", ("iris", "champion")), ("iris@next", ("iris", "next")), ("iris:12", ("iris", 12))]
)
def test_a_model_is_named_by_alias_or_version(text: str, meaning: tuple[str, str | int]) -> None:
    """A bare name is its champion."""
    assert model_ref(text) == meaning


@pytest.mark.parametrize("text", ["", "iris:0", "iris:x", "iris@", "../iris", "iris:1@a"])
def test_what_names_no_model_is_refused(text: str) -> None:
    """Nothing is guessed."""
    with pytest.raises(ValueError, match="names no model"):
        model_ref(text)


@pytest.mark.parametrize("key", ["name", "model", "edge"])
def test_a_colon_in_a_name_is_refused(key: str) -> None:
    """A name is kept whole or refused with the key: never is it cut at a colon (defect 8)."""
    with pytest.raises(ValidationError) as caught:
        JobSpec.model_validate({**JOB, key: "press:2"})
    assert [error["loc"] for error in caught.value.errors()] == [(key,)]


def test_a_file_may_have_colons_in_its_name() -> None:
    """A script keeps its whole name, and so does a file of a tree (defect 8)."""
    job = JobSpec.model_validate({**JOB, "scripts": ["train:all:day.py"], "inputs": [{"path": "w:1", "to": "a:b/c:d"}]})
    assert (job.scripts[0].name, job.inputs[0].place) == ("train:all:day.py", "a:b/c:d")


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a//b", "a/./b", "a\\b", "", "a\x00b"])
def test_a_tree_holds_plain_relative_paths_only(path: str) -> None:
    """No file of a model or of additional outputs can point outside its folder."""
    blob = {"digest": "sha256:" + "0" * 64, "size_bytes": 1}
    with pytest.raises(ValidationError):
        TaskSpec.model_validate(
            {"run_id": "00000000-0000-0000-0000-000000000001", "job": "j", "scripts": [], "additional": {path: blob}}
        )


def test_files_are_paths_until_they_are_uploaded() -> None:
    """A person writes a path; what is sent has the blob beside it."""
    job = JobSpec.model_validate(
        {**JOB, "requirements": {"path": "r.txt", "blob": {"digest": "sha256:" + "a" * 64, "size_bytes": 2}}}
    )
    assert job.scripts == (FileRef(path="train.py"),)
    assert isinstance(job.requirements, FileRef)
    assert job.requirements.blob == BlobRef(digest="sha256:" + "a" * 64, size_bytes=2)


def test_an_old_edge_understands_a_newer_controller() -> None:
    """Keys that a task's document gained later, at any depth, are passed over."""
    written = {"run_id": "00000000-0000-0000-0000-000000000001", "job": "j", "scripts": [], "later": 1}
    written |= {"limits": {"pids": 7, "later": 1}, "secrets": [{"secret": "key", "later": 1}]}
    task = TaskSpec.model_validate_json(json.dumps(written))
    assert (task.limits.pids, task.secrets[0].secret) == (7, "key")


def test_two_nodes_cannot_share_an_id() -> None:
    """The graph's ids are unique, whatever else is wrong with it."""
    node = {"id": "in", "type": "mqtt_sub", "topic": "a"}
    with pytest.raises(ValidationError, match=r"nodes\.1\.id\n *nodes\[0\] has this id already"):
        PipelineSpec.model_validate({"name": "p", "nodes": [node, node]})


def test_topics_are_made_and_read_back() -> None:
    """A family's topic gives its ids back, and another family's gives none."""
    topic = RUN_EVENTS.to(edge="press-1", run="7")
    assert RUN_EVENTS.parse(topic) == {"edge": "press-1", "run": "7"}
    assert MANIFEST.parse(topic) is None
    assert matches(RUN_EVENTS.filter(), topic)
    assert RUN_EVENTS.filter(edge="press-1") == "tidemill/v1/edges/press-1/runs/+/events"
    with pytest.raises(ValueError, match="cannot be a topic level"):
        MANIFEST.to(edge="a/b")


@pytest.mark.parametrize("bad", ["", "a/#/b", "a+/b", "tidemill/v1/edges/x/manifest", "tidemill/#", "a\x00"])
def test_users_topics_are_checked(bad: str) -> None:
    """Malformed filters, and Tidemill's own tree, are not for user data."""
    with pytest.raises(ValueError, match=r"topic|own"):
        check_filter(bad)


@pytest.mark.parametrize(
    ("bad", "told"),
    [
        ("a/+/b", "wildcard"),
        ("$SYS/x", "begin with \\$"),
        ("tidemill/x", "Tidemill's own"),
        ("a\nb", "control character"),
        ("a" * 65_536, "65535 bytes"),
        ("/".join("a" * 202), "200 slashes"),
        ("a/{", "what is in braces is a name"),
        ("a/{b c}", "what is in braces is a name"),
    ],
)
def test_what_brokers_refuse_is_no_topic_to_publish_on(bad: str, told: str) -> None:
    """A filter is none, nor is anything at which a broker closes the connection."""
    with pytest.raises(ValueError, match=told):
        check_template(bad)


def test_a_topic_to_publish_on_may_have_names_and_any_letters() -> None:
    """Levels may hold white space and whatever people write."""
    for topic in ("a/{line}-{unit}/b", "Halle 2/Öfen/🌡", "/".join("a" * 201)):
        assert check_template(topic) == topic
