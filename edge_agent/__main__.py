"""The agent as a program: ``tidemill agent --config press-1.toml``."""

import sys
from collections.abc import Coroutine
from pathlib import Path

from edge_agent.app import run
from edge_agent.settings import load_settings
from transport.daemon import run_daemon
from transport.log_format import log_to_stderr


def main(config: Path) -> None:
    """Run the agent until SIGTERM or SIGINT; exits with 2 for a bad configuration, 4 if another agent runs there."""

    def make() -> Coroutine[None, None, None]:
        settings = load_settings(config)
        log_to_stderr(settings.log_level)
        return run(settings)

    run_daemon("tidemill agent", make)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
