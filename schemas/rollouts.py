"""The moving of a deployment's edges to one content, as people are told of it."""

from enum import StrEnum


class RolloutState(StrEnum):
    """How far a rollout is."""

    WAITING = "waiting"  #: for a person's approval
    ROLLING = "rolling"  #: edges are being changed
    BAKING = "baking"  #: those that were changed do well, and are watched before the next are
    PAUSED = "paused"  #: by a person
    DONE = "done"  #: all edges that are there have it
    ABORTED = "aborted"  #: its edges went back
    SUPERSEDED = "superseded"  #: another one came before it was done


LIVE = frozenset({RolloutState.WAITING, RolloutState.ROLLING, RolloutState.BAKING, RolloutState.PAUSED})
"""Of these a deployment has one at most."""


class EdgeState(StrEnum):
    """How far an edge is with what a deployment wants there."""

    LATER = "later"  #: it is not its turn yet, or it is offline and takes it when it is back
    CHANGING = "changing"  #: it was told, and has not got there
    DEPLOYED = "deployed"  #: it says itself that this answers there, or is held: verified, loaded, compared
    FAILED = "failed"  #: it could not, or went back by itself
