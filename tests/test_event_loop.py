"""An `Enhancer` in an event loop, as docs/streaming.md says: one worker keeps the order, also of calls given up."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from gtcrn_frontend import Enhancer


def test_calls_that_nobody_waits_for_any_more_stay_in_order():
    samples = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    chunks = np.split(samples, 20)

    async def enhanced(enhancer):
        loop = asyncio.get_running_loop()
        given_up = 0
        with ThreadPoolExecutor(max_workers=1) as worker:
            calls = []
            for chunk in chunks:
                calls.append(loop.run_in_executor(worker, enhancer.process_chunk, chunk))
                try:
                    await asyncio.wait_for(asyncio.shield(calls[-1]), 1e-6)
                except TimeoutError:
                    given_up += 1
            calls.append(loop.run_in_executor(worker, enhancer.flush))
            blocks = await asyncio.gather(*calls)
        assert given_up > 0
        return np.concatenate(blocks)

    result = asyncio.run(enhanced(Enhancer()))
    np.testing.assert_allclose(result, Enhancer().enhance(samples), atol=1e-6)


def test_the_loop_is_free_while_a_worker_computes():
    samples = np.zeros(60 * 16_000, np.float32)

    async def test():
        loop, ticks, begun = asyncio.get_running_loop(), 0, asyncio.Event()
        enhancer = Enhancer(engine="onnx")

        def compute():
            loop.call_soon_threadsafe(begun.set)
            return enhancer.process_chunk(samples)

        with ThreadPoolExecutor(max_workers=1) as worker:
            call = loop.run_in_executor(worker, compute)
            await begun.wait()
            while not call.done():
                ticks += 1
                await asyncio.sleep(0.001)
            assert len(await call) > 0
        assert ticks > 2

    asyncio.run(test())
