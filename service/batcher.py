"""From requests to batches: waiting texts of all connections are run together, by length.

One worker drains a bounded queue. While it runs a batch, new texts gather; when it is idle, a text
runs at once. So there is no waiting time to tune and batches grow with the load.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from pipelines.data.tokenization import Encoded
from service.engine import Engine
from service.errors import Overloaded


@dataclass(frozen=True)
class _Item:
    text: str
    encoded: Encoded
    future: "asyncio.Future[Any]"


class Batcher:
    """Batches the texts of one engine. Start it in a running event loop; stop it to end its worker."""

    def __init__(self, engine: Engine, batch_tokens: int, queue_items: int) -> None:
        self.engine = engine
        self.batch_tokens = batch_tokens
        self.queue_items = queue_items
        self.waiting: deque[_Item] = deque()
        self.arrived = asyncio.Event()  # bound to the loop that first waits for it
        self.tokenising = ThreadPoolExecutor(1, thread_name_prefix="tokenise")
        self.running = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self.worker: asyncio.Task[None] | None = None

    def start(self) -> None:
        self.worker = asyncio.create_task(self._work())

    async def stop(self) -> None:
        """Ends the worker; texts that still wait are answered with `Overloaded`."""
        if self.worker is not None:
            self.worker.cancel()
            await asyncio.gather(self.worker, return_exceptions=True)
        while self.waiting:
            self._fail([self.waiting.popleft()], Overloaded("the server is shutting down"))
        self.tokenising.shutdown(wait=False)
        self.running.shutdown(wait=False)

    async def predict(self, texts: Sequence[str]) -> list[Any]:
        """Predictions in the order of `texts`. Raises `Overloaded` when too many texts wait."""
        if len(self.waiting) + len(texts) > self.queue_items:
            raise Overloaded(f"{len(self.waiting)} texts wait already (limit {self.queue_items})")
        loop = asyncio.get_running_loop()
        encoded = await loop.run_in_executor(self.tokenising, self.engine.encode, list(texts))
        items = [_Item(text, ids, loop.create_future()) for text, ids in zip(texts, encoded, strict=True)]
        self.waiting.extend(items)
        self.arrived.set()
        try:
            return list(await asyncio.gather(*(item.future for item in items)))
        except asyncio.CancelledError:
            for item in items:
                item.future.cancel()
            raise

    async def _work(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self.arrived.wait()
            batch = self._next_batch()
            if not batch:
                self.arrived.clear()
                continue
            try:
                texts, encoded = [item.text for item in batch], [item.encoded for item in batch]
                predictions = await loop.run_in_executor(self.running, self.engine.run, texts, encoded)
            except Exception as error:
                self._fail(batch, error)
                continue
            for item, prediction in zip(batch, predictions, strict=True):
                if not item.future.done():
                    item.future.set_result(prediction)

    def _next_batch(self) -> list[_Item]:
        """The oldest text and, within the token budget, the waiting ones nearest to it in length."""
        alive = [item for item in self.waiting if not item.future.done()]
        self.waiting.clear()
        if not alive:
            return []
        oldest, *others = alive
        others.sort(key=lambda item: abs(len(item.encoded.ids) - len(oldest.encoded.ids)))
        batch, longest = [oldest], len(oldest.encoded.ids)
        for item in others:
            longest = max(longest, len(item.encoded.ids))
            if longest * (len(batch) + 1) > self.batch_tokens:
                break
            batch.append(item)
        taken = set(map(id, batch))
        self.waiting.extend(item for item in alive if id(item) not in taken)
        return batch

    @staticmethod
    def _fail(items: Sequence[_Item], error: Exception) -> None:
        for item in items:
            if not item.future.done():
                item.future.set_exception(error)
