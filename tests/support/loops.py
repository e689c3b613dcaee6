"""Coroutines in tests that also run beside browser tests.

Edge: a thread.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

Value = TypeVar("Value")


def finished(work: Coroutine[Any, Any, Value], within_s: float) -> Value:
    """What a coroutine returns, run in a thread of its own.

    The browser tests leave a loop running in the main one.
    """

    async def bounded() -> Value:
        return await asyncio.wait_for(work, within_s)

    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(bounded())).result()
