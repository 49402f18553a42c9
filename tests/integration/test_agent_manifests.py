"""Which manifests an agent follows: those its controller signed, for it, newer than what it has."""

from collections.abc import Callable
from pathlib import Path

import pytest

from schemas.manifest import Manifest, SignedManifest
from schemas.runs import Exited, Outcome, Started
from tests.integration.agent_process import AgentProcess
from tests.integration.scripted_controller import EDGE, MODEL, ScriptedController, until_there
from transport.signing import SigningKey

pytestmark = pytest.mark.usefixtures("agent")

Forge = Callable[[ScriptedController, Path], bytes]


def signed(key: SigningKey, manifest: Manifest) -> bytes:
    """What would be published."""
    return key.sign(manifest).model_dump_json().encode()


def by_another_key(_: ScriptedController, folder: Path) -> bytes:
    """Signed, but not by the controller."""
    return signed(SigningKey.load_or_create(folder / "other.pem"), Manifest(edge=EDGE, generation=99))


def altered(scripted: ScriptedController, _: Path) -> bytes:
    """The controller's signature under other bytes."""
    right = scripted.key.sign(Manifest(edge=EDGE, generation=99))
    wrong = SignedManifest(payload=right.payload.replace("99", "98"), key_id=right.key_id, signature=right.signature)
    return wrong.model_dump_json().encode()


def for_another_edge(scripted: ScriptedController, _: Path) -> bytes:
    """Signed by the controller, for somebody else."""
    return signed(scripted.key, Manifest(edge="press-2", generation=99))


def no_json(_: ScriptedController, __: Path) -> bytes:
    """Noise."""
    return b"\xff not JSON"


def replayed(scripted: ScriptedController, _: Path) -> bytes:
    """Right, but older than what the edge follows."""
    return signed(scripted.key, Manifest(edge=EDGE, generation=0))


def same_generation(scripted: ScriptedController, _: Path) -> bytes:
    """Another document of the generation that the edge follows."""
    return signed(scripted.key, Manifest(edge=EDGE, generation=1))


@pytest.mark.parametrize(
    ("forge", "reason"),
    [
        (by_another_key, "is signed with the key"),
        (altered, "was altered"),
        (for_another_edge, "is for the edge press-2"),
        (no_json, "is no signed manifest"),
        (replayed, "generation 1 was taken already"),
        (same_generation, "generation 1 was taken already"),
    ],
)
async def test_what_is_not_to_be_trusted_changes_nothing(
    scripted: ScriptedController, tmp_path: Path, forge: Forge, reason: str
) -> None:
    """A refused manifest is reported with its reason, and the task that it would have ended goes on."""
    run = scripted.run(until_there(tmp_path / "go") + MODEL)
    await scripted.want(run)
    await scripted.event(run, Started)
    await scripted.publish_manifest(forge(scripted, tmp_path))
    report = await scripted.report(lambda report: report.refused != "")
    assert reason in report.refused
    assert (report.generation, len(report.tasks)) == (1, 1)
    (tmp_path / "go").touch()
    assert (await scripted.event(run, Exited)).outcome is Outcome.OK


async def test_the_same_manifest_again_is_fine(scripted: ScriptedController, agent: AgentProcess) -> None:
    """A manifest published again, as after a reconnect, is neither refused nor acted on twice."""
    run = scripted.run(MODEL)
    payload = await scripted.want(run)
    await scripted.event(run, Exited)
    await scripted.publish_manifest(b"noise")
    await scripted.report(lambda report: report.refused != "")
    await scripted.publish_manifest(payload)
    await scripted.report(lambda report: report.refused == "" and len(report.tasks) == 1)
    agent.kill()
    agent.start()
    seen = len(scripted.reports)
    await scripted.until(lambda: len(scripted.reports) > seen)
    assert scripted.reports[-1].refused == ""
    assert [event.sequence for event in scripted.told(run)] == list(range(1, len(scripted.told(run)) + 1))
