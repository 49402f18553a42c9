"""How fast bytes may go: a rate over time, whatever the size of the pieces."""

import asyncio


class Pace:
    """One stream's rate. Wait after each piece: an idle stream saves nothing up, and owes nothing."""

    def __init__(self, rate_bytes_s: float | None) -> None:
        self._rate_bytes_s = rate_bytes_s
        self._free_at_s = 0.0

    async def spend(self, size_bytes: int) -> None:
        """Wait for as long as that many bytes take."""
        if self._rate_bytes_s is None:
            return
        now_s = asyncio.get_running_loop().time()
        self._free_at_s = max(self._free_at_s, now_s) + size_bytes / self._rate_bytes_s
        await asyncio.sleep(self._free_at_s - now_s)
