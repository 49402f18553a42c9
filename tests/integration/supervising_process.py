"""An agent that does nothing but run one pipeline: killed by a test to see what becomes of the worker."""

import asyncio
import sys
from pathlib import Path

from schemas.broker import BrokerAddress
from tests.integration.pipeline_desk import desk, scoring


async def main(url: str, folder: Path) -> None:
    """Run until killed."""
    address = BrokerAddress.model_validate({"url": url, "username": "press-1", "password": "secret"})
    async with desk(address) as table:
        table.supervisor.apply({"p": scoring(folder, 1)})
        await table.serving()
        sys.stdout.write("listening\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
