import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import pytest

from pipelines.data.tokenization import Encoded
from service.batcher import Batcher
from service.errors import Overloaded


class SlowEngine:
    """Echoes texts, one batch at a time, each held until it is released."""

    platform = "test"
    task: Any = None

    def __init__(self) -> None:
        self.batches: list[list[str]] = []
        self.gate = threading.Semaphore(0)

    def encode(self, texts: Sequence[str]) -> list[Encoded]:
        return [Encoded([1] * len(text), False) for text in texts]

    def run(self, texts: Sequence[str], batch: Sequence[Encoded]) -> list[Any]:
        self.gate.acquire()
        self.batches.append(list(texts))
        if "bad" in texts:
            raise RuntimeError("the engine failed")
        return [text.upper() for text in texts]

    def warm_up(self) -> None: ...


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0.02)


def test_waiting_texts_are_run_together_by_length_within_the_budget() -> None:
    async def scenario() -> None:
        engine = SlowEngine()
        batcher = Batcher(engine, batch_tokens=12, queue_items=100)
        batcher.start()
        first = asyncio.create_task(batcher.predict(["a"]))
        await settle()
        others = [asyncio.create_task(batcher.predict([text])) for text in ("bbb", "cc" * 5, "ddd", "ee")]
        await settle()
        engine.gate.release(100)
        assert await first == ["A"]
        assert [await task for task in others] == [["BBB"], ["CC" * 5], ["DDD"], ["EE"]]
        assert engine.batches == [["a"], ["bbb", "ddd", "ee"], ["cc" * 5]]
        await batcher.stop()

    asyncio.run(scenario())


def test_order_within_a_request_is_kept() -> None:
    async def scenario() -> None:
        engine = SlowEngine()
        engine.gate.release(100)
        batcher = Batcher(engine, batch_tokens=6, queue_items=100)
        batcher.start()
        assert await batcher.predict(["aaaaaa", "b", "cccc", "dd"]) == ["AAAAAA", "B", "CCCC", "DD"]
        await batcher.stop()

    asyncio.run(scenario())


def test_a_full_queue_says_so_at_once() -> None:
    async def scenario() -> None:
        batcher = Batcher(SlowEngine(), batch_tokens=10, queue_items=2)
        batcher.start()
        held = [asyncio.create_task(batcher.predict([text])) for text in ("a", "b", "c")]
        await settle()
        with pytest.raises(Overloaded, match="2 texts wait already"):
            await batcher.predict(["d"])
        batcher.engine.gate.release(100)  # type: ignore[attr-defined]
        assert await asyncio.gather(*held) == [["A"], ["B"], ["C"]]
        await batcher.stop()

    asyncio.run(scenario())


def test_a_client_that_hangs_up_is_dropped_from_the_queue() -> None:
    async def scenario() -> None:
        engine = SlowEngine()
        batcher = Batcher(engine, batch_tokens=10, queue_items=10)
        batcher.start()
        first = asyncio.create_task(batcher.predict(["a"]))
        await settle()
        gone = asyncio.create_task(batcher.predict(["gone"]))
        await settle()
        gone.cancel()
        await settle()
        engine.gate.release(100)
        assert await first == ["A"]
        assert await batcher.predict(["b"]) == ["B"]
        assert ["gone"] not in engine.batches
        await batcher.stop()

    asyncio.run(scenario())


def test_a_failing_batch_does_not_stop_the_next() -> None:
    async def scenario() -> None:
        engine = SlowEngine()
        engine.gate.release(100)
        batcher = Batcher(engine, batch_tokens=10, queue_items=10)
        batcher.start()
        with pytest.raises(RuntimeError, match="the engine failed"):
            await batcher.predict(["bad"])
        assert await batcher.predict(["good"]) == ["GOOD"]
        await batcher.stop()

    asyncio.run(scenario())
