"""Looks at deployments once on each copy of a control database, and is killed a step later each time.

Usage: looking_process.py FOLDER NOW
``FOLDER/control.db`` is copied to ``1.db``, ``2.db`` and so on; the look on the copy of that number is killed at its
step of that number: each statement and each commit is one. The last copy is that whose look came to its end.
"""

import os
import shutil
import signal
import sys
from datetime import datetime
from itertools import count
from pathlib import Path

from sqlalchemy import event

from controller.rollouts.steps import look_at_all
from controller.stores.database import open_database


def look(path: Path, now: datetime, steps: int) -> None:
    """Look, and die at that step if there are so many."""
    database, left = open_database(f"sqlite:///{path}"), steps

    def step(*_about: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    event.listen(database._engine, "after_cursor_execute", step)
    event.listen(database._engine, "commit", step)
    with database.transaction() as session:
        look_at_all(session, now=now)


def main(folder: Path, now: datetime) -> None:
    """One child for each step."""
    for steps in count(1):
        path = folder / f"{steps}.db"
        shutil.copyfile(folder / "control.db", path)
        child = os.fork()
        if child == 0:
            look(path, now, steps)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status == 0:
            return
        if not os.WIFSIGNALED(status):
            sys.exit(f"the look of step {steps} failed")


if __name__ == "__main__":
    main(Path(sys.argv[1]), datetime.fromisoformat(sys.argv[2]))
