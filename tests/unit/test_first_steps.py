"""Coroutines that take their first step at once: nothing that they can see differs from a plain task."""

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable, Coroutine
from contextvars import ContextVar, Token
from decimal import Context, Decimal, setcontext
from typing import TypeVar, cast

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_runtime.running.beginning import Begun, begun
from pipeline_runtime.running.rest import rest

pytestmark = pytest.mark.skipif(sys.version_info >= (3, 12), reason="from Python 3.12 on it is asyncio's own doing")

VARIABLE: ContextVar[str] = ContextVar("VARIABLE", default="nothing")

T = TypeVar("T")
Begin = Callable[[Awaitable[object]], Begun]


async def outside(call: Callable[[], T]) -> T:
    """What ``call`` gives in a turn that is no task's, as the engine's are."""
    came: asyncio.Future[T] = asyncio.get_running_loop().create_future()

    def do() -> None:
        try:
            came.set_result(call())
        except Exception as error:  # noqa: BLE001 - whatever it is, the test is to see it
            came.set_exception(error)

    asyncio.get_running_loop().call_soon(do)
    async with asyncio.timeout(20):
        return await came


async def waiting(awaitable: Awaitable[object]) -> asyncio.Future[object]:
    """What is begun with that has to wait."""
    begin = await outside(lambda: begun(awaitable))
    assert isinstance(begin, asyncio.Future)
    return begin


async def at_once(awaitable: Awaitable[object]) -> object:
    """What is there without waiting."""
    begin = await outside(lambda: begun(awaitable))
    assert isinstance(begin, tuple)
    return begin[0]


async def ended(begin: Begun) -> object:
    """How it ends: what it gives, or what it raises."""
    if isinstance(begin, tuple):
        return begin[0]
    async with asyncio.timeout(20):
        await asyncio.wait([begin])
    return "cancelled" if begin.cancelled() else repr(begin.exception() or begin.result())


async def task_of_now() -> object:
    """Wait for nothing."""
    return asyncio.current_task()


async def test_a_result_that_is_there_takes_no_turn_of_the_loop() -> None:
    """It is given at once, be it a future or an exception, and the next coroutine has the same task."""
    result = ValueError("a result")
    first, second, given = await outside(lambda: (begun(task_of_now()), begun(task_of_now()), begun(giving(result))))
    assert isinstance(first, tuple)
    assert first == second
    assert first[0] is await at_once(task_of_now())
    assert given == (result,)


async def giving(value: object) -> object:
    """Wait for nothing."""
    return value


async def raising(error: BaseException) -> None:
    """Fail at once."""
    raise error


async def test_what_fails_at_once_is_told_at_once() -> None:
    """It is raised, also by a coroutine that gives up; the task is as good as before."""

    def fail() -> None:
        with pytest.raises(KeyError):
            begun(raising(KeyError(1)))
        with pytest.raises(asyncio.CancelledError):
            begun(raising(asyncio.CancelledError()))

    before = await at_once(task_of_now())
    await outside(fail)
    assert await at_once(task_of_now()) is before


@pytest.mark.parametrize("idle", [False, True])
async def test_a_coroutine_has_one_task_for_all_its_steps(idle: bool) -> None:
    """It is among the loop's tasks while it waits, and nobody has it afterwards; idle ones are not."""
    gate: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    seen: list[object] = []

    async def steps() -> str:
        for wait in (asyncio.sleep(0), gate, asyncio.sleep(0)):
            seen.append(asyncio.current_task())
            await wait
        seen.append(asyncio.current_task())
        return gate.result()

    if idle:
        await at_once(task_of_now())
        await asyncio.sleep(0)
    task = await waiting(steps())
    assert task in asyncio.all_tasks()
    gate.set_result("through")
    assert await task == "through"
    assert seen == [task] * 4
    assert await at_once(task_of_now()) is not task
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize("idle", [False, True])
async def test_a_turn_lets_everything_else_go_on(idle: bool) -> None:
    """What was called soon in the first step has been called after a bare turn."""
    called: list[str] = []

    async def steps() -> list[str]:
        asyncio.get_running_loop().call_soon(called.append, "soon")
        other = asyncio.create_task(giving("other"))
        await asyncio.sleep(0)
        return [*called, str(other.done())]

    if idle:
        await at_once(task_of_now())
        await asyncio.sleep(0)
    assert await (await waiting(steps())) == ["soon", "True"]


@pytest.mark.parametrize("turns", [0, 1, 2, 3])
async def test_what_waits_can_be_cancelled(turns: int) -> None:
    """It learns of it where it waits, what it waits for is cancelled, and it may take its time to clean up."""
    gate: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    said: list[str] = []

    async def cleaning() -> None:
        try:
            await gate
        finally:
            await asyncio.sleep(0)
            said.append("clean")

    task = await outside(lambda: begun(cleaning()))
    assert isinstance(task, asyncio.Future)
    for _ in range(turns):
        await asyncio.sleep(0)
    assert task.cancel("enough")
    with pytest.raises(asyncio.CancelledError):
        await task
    assert said == ["clean"]
    assert gate.cancelled()


async def test_what_was_begun_can_be_cancelled_in_the_same_turn() -> None:
    """As the engine does when another node of the message fails."""
    caught: list[str] = []

    async def catching(wait: Awaitable[object]) -> str:
        try:
            await wait
        except asyncio.CancelledError as error:
            caught.append(str(error))
        return "went on"

    def begin() -> list[Begun]:
        all_begun = [begun(catching(asyncio.sleep(0))), begun(catching(asyncio.Event().wait()))]
        for task in all_begun:
            assert isinstance(task, asyncio.Future)
            task.cancel("late")
        return all_begun

    assert [await ended(task) for task in await outside(begin)] == ["'went on'"] * 2
    assert caught == ["late", "late"]


async def test_many_may_wait_for_the_same() -> None:
    """Begun or not, in one turn or in several."""
    gate: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def wait() -> int:
        return await gate

    tasks = await outside(lambda: [begun(wait()), asyncio.ensure_future(wait()), begun(wait())])
    tasks.append(await waiting(wait()))
    gate.set_result(7)
    assert [await ended(task) for task in tasks] == ["7"] * 4


@pytest.mark.parametrize("delay_s", [0, 0.01])
async def test_a_timeout_of_the_first_step_counts_in_the_next(delay_s: float) -> None:
    """One of asyncio's, and one of anyio's; afterwards the coroutine goes on."""

    async def late() -> str:
        try:
            async with asyncio.timeout(delay_s):
                await asyncio.Event().wait()
        except TimeoutError:
            await asyncio.sleep(0)
        with anyio.move_on_after(delay_s) as scope:
            await anyio.sleep_forever()
        return f"went on, {scope.cancelled_caught}"

    async def late_in_anyio() -> None:
        with anyio.fail_after(delay_s):
            await anyio.sleep_forever()

    assert await (await waiting(late())) == "went on, True"
    assert await ended(await outside(lambda: begun(late_in_anyio()))) == "TimeoutError()"


async def test_groups_of_tasks_are_as_ever() -> None:
    """A failure in a group that was begun in the first step ends the others of the group."""

    async def grouped() -> str:
        try:
            async with asyncio.TaskGroup() as group:
                other = group.create_task(asyncio.Event().wait())
                group.create_task(raising(KeyError(1)))
        except* KeyError:
            async with anyio.create_task_group() as waiting_for_all:
                waiting_for_all.start_soon(asyncio.sleep, 0)
        return f"ended, {other.cancelled()}"

    assert await (await waiting(grouped())) == "ended, True"


async def test_a_shield_holds() -> None:
    """Who waits behind it is cancelled, and what it waits for is not."""
    shielded: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def behind() -> None:
        await asyncio.shield(shielded)

    task = await waiting(behind())
    task.cancel()
    assert await ended(task) == "cancelled"
    assert not shielded.done()


async def test_variables_are_kept_between_steps_and_apart_between_coroutines() -> None:
    """What one sets, the next does not see, nor who began it; it may be reset in a later step."""

    async def sets(turns: int) -> str:
        before, token = VARIABLE.get(), VARIABLE.set("mine")
        for _ in range(turns):
            await asyncio.sleep(0)
        after = VARIABLE.get()
        if turns:
            VARIABLE.reset(token)
        return f"{before}, {after}, {VARIABLE.get()}"

    assert await at_once(sets(0)) == "nothing, mine, mine"
    assert await at_once(sets(0)) == "nothing, mine, mine"
    assert await (await waiting(sets(2))) == "nothing, mine, nothing"
    VARIABLE.set("begun with")
    assert await at_once(sets(0)) == "begun with, mine, mine"
    assert VARIABLE.get() == "begun with"


async def test_libraries_that_keep_variables_have_them_for_one_coroutine() -> None:
    """The precision of decimal numbers, for example."""

    async def third(digits: int | None) -> str:
        if digits:
            setcontext(Context(prec=digits))
        return str(Decimal(1) / 3)

    assert await at_once(third(3)) == "0.333"
    assert await at_once(third(None)) != "0.333"


@pytest.mark.parametrize("waits", [False, True])
async def test_a_coroutine_that_cancels_its_own_task(waits: bool) -> None:
    """It ends cancelled, at the next wait or at its end, and nobody else does."""
    went_on: list[str] = []

    async def cancels() -> None:
        task = asyncio.current_task()
        assert task
        task.cancel()
        if waits:
            await asyncio.Event().wait()
            went_on.append("after the wait")

    for _ in range(2):  # the second time with a task that was idle
        begin, other = await outside(lambda: (begun(cancels()), begun(giving(1))))
        assert other == (1,)
        assert await ended(begin) == "cancelled"
        await at_once(task_of_now())
        await asyncio.sleep(0)
    assert not went_on


async def test_a_task_that_is_cancelled_after_its_coroutine_ended_is_not_used_again() -> None:
    """Whoever kept it hits nobody."""
    for turns in (0, 1):
        old = await at_once(task_of_now())
        assert isinstance(old, asyncio.Task)
        for _ in range(turns):
            await asyncio.sleep(0)
        old.cancel()
        assert await at_once(task_of_now()) is not old
        assert await (await waiting(asyncio.wait_for(asyncio.sleep(0, "fine"), 20))) == "fine"
        assert old.cancelled()


async def test_a_cancellation_that_was_taken_back_is_none_for_others() -> None:
    """Those that have the task next are not cancelled."""

    async def takes_back() -> None:
        task = asyncio.current_task()
        assert task
        task.cancel()
        task.uncancel()

    for turns in (0, 2):
        await asyncio.sleep(0)
        both = await outside(lambda: (begun(takes_back()), begun(asyncio.sleep(0, "fine"))))
        assert await ended(both[1]) == "'fine'"
        await outside(lambda: begun(takes_back()))
        for _ in range(turns):
            await asyncio.sleep(0)
        assert await (await waiting(asyncio.sleep(0, "fine"))) == "fine"


async def test_what_is_begun_in_another_task_gets_a_task_as_ever() -> None:
    """In the midst of a step there is no taking another task's; in that of one begun so neither."""
    plain = begun(task_of_now())
    assert isinstance(plain, asyncio.Task)
    assert await plain is plain

    async def nesting() -> tuple[object, object]:
        inner = begun(task_of_now())
        assert isinstance(inner, asyncio.Task)
        return await inner, asyncio.current_task()

    outer = await waiting(nesting())
    inner, itself = cast("tuple[object, object]", await outer)
    assert itself is outer
    assert inner is not outer


async def test_futures_and_other_awaitables_are_waited_for() -> None:
    """A future is what it is."""

    class Odd:
        def __await__(self):  # type: ignore[no-untyped-def] # noqa: ANN204
            return asyncio.sleep(0, "odd").__await__()

    future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
    assert await waiting(future) is future
    future.set_result("there")
    assert await at_once(future) == "there"
    assert await (await waiting(Odd())) == "odd"


async def test_a_thousand_that_wait_leave_no_task_behind() -> None:
    """All have their own, all end, and one spare task is left."""

    def tasks_there() -> int:
        gc.collect()
        return sum(isinstance(one, asyncio.Task) and not one.done() for one in gc.get_objects())

    await at_once(task_of_now())
    before = tasks_there()
    gate = asyncio.Event()
    tasks = await outside(lambda: [begun(gate.wait()) for _ in range(1000)])
    assert len(set(tasks)) == 1000
    await asyncio.sleep(0)
    gate.set()
    assert {await ended(task) for task in tasks} == {"True"}
    for _ in range(1000):
        await at_once(task_of_now())
    tasks.clear()
    assert tasks_there() <= before


@pytest.mark.parametrize("inside", [False, True])
async def test_who_begins_may_say_how_it_goes_on(inside: bool) -> None:
    """With all that is still to come: in a task's midst even the first step. What need not wait is not gone on with."""
    seen: list[object] = []

    async def going_on(call: Coroutine[object, None, object], waits_for: object) -> object:
        seen.append(asyncio.current_task())
        return [await rest(call, waits_for)]

    async def twice() -> str:
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return "twice"

    def begin() -> Begun:
        return begun(twice(), going_on)

    task = begin() if inside else await outside(begin)
    assert isinstance(task, asyncio.Task)
    assert await task == ["twice"]
    assert seen == [task]
    assert await outside(lambda: begun(giving(1), going_on)) == (1,)
    assert seen == [task]


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_nothing_is_complained_of_when_a_loop_ends(turns: int, caplog: pytest.LogCaptureFixture) -> None:
    """A spare task goes with its loop, however that ends."""

    async def few() -> None:
        await at_once(task_of_now())
        await (await waiting(asyncio.sleep(0)))
        await outside(lambda: begun(task_of_now()))
        for _ in range(turns):
            await asyncio.sleep(0)

    asyncio.run(few())
    loop = asyncio.new_event_loop()
    loop.run_until_complete(few())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    asyncio.run(few())
    gc.collect()
    assert not caplog.records


def test_what_ends_a_program_is_not_kept() -> None:
    """KeyboardInterrupt comes out of the loop, as of any callback."""
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(outside_of(KeyboardInterrupt()))


async def outside_of(error: BaseException) -> None:
    """Begin with what raises it."""
    await outside(lambda: begun(raising(error)))


Steps = list[tuple[str, "Steps"]]

ONE: st.SearchStrategy[tuple[str, Steps]] = st.tuples(
    st.sampled_from(["turn", "wait", "soon", "set", "reset", "see", "cancel", "uncancel", "raise", "return", "task"]),
    st.just([]),
)
BLOCK = st.sampled_from(["timeout", "long timeout", "catch", "group", "finally", "called"])
STEPS: st.SearchStrategy[Steps] = st.recursive(
    st.lists(ONE, max_size=4),
    lambda inner: st.lists(ONE | st.tuples(BLOCK, inner), max_size=4),
    max_leaves=6,
)


class Program:
    """A coroutine that does what Hypothesis thinks of, and writes down what it sees."""

    def __init__(self) -> None:
        self.seen: list[str] = []
        self._tokens: list[Token[str]] = []
        self._tasks: set[object] = set()

    async def run(self, steps: Steps) -> int:
        """All steps, one after the other."""
        for kind, inner in steps:
            self._tasks.add(asyncio.current_task())
            if kind == "return":
                break
            await self._step(kind, inner)
        return len(self._tasks)

    async def _step(self, kind: str, inner: Steps) -> None:  # noqa: C901 - it is a table
        loop, task = asyncio.get_running_loop(), asyncio.current_task()
        assert task
        match kind:
            case "turn":
                await asyncio.sleep(0)
            case "wait":
                event = asyncio.Event()
                loop.call_soon(event.set)
                await event.wait()
            case "soon":
                loop.call_soon(self.seen.append, "soon")
            case "set":
                self._tokens.append(VARIABLE.set(f"set {len(self._tokens)}"))
            case "reset" if self._tokens:
                VARIABLE.reset(self._tokens.pop())
            case "see":
                self.seen.append(f"{VARIABLE.get()} {task.cancelling()}")
            case "cancel":
                task.cancel("on purpose")
            case "uncancel" if task.cancelling() > 1:
                task.uncancel()
            case "raise":
                raise KeyError(kind)
            case "task":
                self.seen.append(str(await asyncio.create_task(giving("of a task"))))
            case _:
                await self._block(kind, inner)

    async def _block(self, kind: str, inner: Steps) -> None:
        match kind:
            case "timeout" | "long timeout":
                try:
                    async with asyncio.timeout(0 if kind == "timeout" else 20):
                        await self.run(inner)
                except TimeoutError:
                    self.seen.append("late")
            case "catch":
                try:
                    await self.run(inner)
                except (KeyError, asyncio.CancelledError) as error:
                    self.seen.append(type(error).__name__)  # of two who cancel in one turn, either may be quoted
            case "group":
                try:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(asyncio.sleep(0))
                        await self.run(inner)
                except* KeyError:
                    self.seen.append("of the group")
            case "finally":
                try:
                    await self.run(inner)
                finally:
                    await asyncio.sleep(0)
                    self.seen.append("finally")
            case "called":
                await self.run(inner)


async def _told(begin: Begin, programs: list[Steps], idle: bool) -> list[tuple[object, list[str]]]:
    told: list[tuple[object, list[str]]] = []
    for steps in programs:
        program = Program()
        try:
            outcome = await ended(await outside(lambda: begin(program.run(steps))))  # noqa: B023 - called at once
        except KeyError as error:  # by the first step
            outcome = repr(error)
        await asyncio.sleep(0)
        if idle:
            await asyncio.sleep(0)
        told.append((str(outcome), program.seen))
    return told


@given(st.lists(STEPS, min_size=1, max_size=4), st.booleans())
def test_whatever_a_coroutine_does_is_as_in_a_plain_task(programs: list[Steps], idle: bool) -> None:
    """One after the other, they see and give the same."""
    assert asyncio.run(_told(begun, programs, idle)) == asyncio.run(_told(asyncio.ensure_future, programs, idle))
