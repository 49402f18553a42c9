"""The controller as a program: ``tidemill controller --config controller.toml``."""

import sys
from collections.abc import Coroutine
from pathlib import Path

from controller.app import run
from controller.settings import load_settings
from transport.daemon import run_daemon
from transport.log_format import log_to_stderr


def main(config: Path | None) -> None:
    """Run the controller until SIGTERM or SIGINT; exits with 2 for a bad configuration, 4 if another one runs there."""

    def make() -> Coroutine[None, None, None]:
        settings = load_settings(config)
        log_to_stderr(settings.log_level)
        return run(settings)

    run_daemon("tidemill controller", make)


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else None)
