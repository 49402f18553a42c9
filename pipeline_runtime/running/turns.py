"""Lets answers leave in the order in which their messages came, though some take longer than others."""

import asyncio
from collections.abc import Hashable


class Turns:
    """Runs pass one node by their numbers; one that ends without passing lets the next ones through."""

    def __init__(self, first: int, past: set[int]) -> None:
        self._next = first
        self._past = past  # passed or ended before it was their turn
        self._waiting: dict[int, asyncio.Future[None]] = {}

    def passes(self, number: int) -> bool:
        """Pass, if every earlier run has passed or ended; returns whether it did."""
        if number > self._next:
            return False
        self.leave(number)
        return True

    async def wait(self, number: int) -> None:
        """Return when every earlier run has passed or ended."""
        if number > self._next:
            turn = self._waiting[number] = asyncio.get_running_loop().create_future()
            await turn

    def leave(self, number: int) -> None:
        """This run has passed or ended; saying so twice does no harm."""
        if number < self._next:
            return
        if number > self._next:
            self._past.add(number)
            self._waiting.pop(number, None)
            return
        self._next += 1
        while self._next in self._past:
            self._past.remove(self._next)
            self._next += 1
        waiting = self._waiting.pop(self._next, None) if self._waiting else None
        if waiting and not waiting.done():
            waiting.set_result(None)


class Order:
    """Runs that keep their order, numbered as their messages came."""

    def __init__(self) -> None:
        self._next = 0
        self._live: dict[int, None] = {}  # in the order of their numbers
        self._turns: dict[str, Turns] = {}

    def begin(self) -> int:
        """The next run's number."""
        number = self._next
        self._next += 1
        self._live[number] = None
        return number

    def at(self, node: str) -> Turns:
        """The turns at one node."""
        turns = self._turns.get(node)
        if turns is None:
            oldest = next(iter(self._live))
            ended = set(range(oldest, self._next)).difference(self._live)
            turns = self._turns[node] = Turns(oldest, ended)
        return turns

    def end(self, number: int) -> bool:
        """This run has ended: nobody waits for it any more. Returns whether it was the last."""
        del self._live[number]
        for turns in self._turns.values():
            turns.leave(number)
        return not self._live

    def forget_nodes(self) -> None:
        """Another plan may have other nodes. While runs are under way, nothing is forgotten."""
        if not self._live:
            self._turns.clear()


class Orders:
    """The runs of one subscription, those of each key in an order of their own; outlives a swap of the pipeline."""

    def __init__(self) -> None:
        self._orders: dict[Hashable, Order] = {}

    def begin(self, key: Hashable) -> tuple[Order, int]:
        """A run begins: the order of those with its key, and its number there."""
        order = self._orders.get(key)
        if order is None:
            order = self._orders[key] = Order()
        return order, order.begin()

    def forget_nodes(self) -> None:
        """Another plan follows."""
        for order in self._orders.values():
            order.forget_nodes()

    def forget(self, key: Hashable) -> None:
        """The last run with this key has ended."""
        del self._orders[key]
