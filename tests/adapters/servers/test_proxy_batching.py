import asyncio

import numpy as np
import pytest

from gtcrn_frontend import Enhancer, EnhancerConfig
from gtcrn_frontend.adapters.servers.batching import BatchedPool


@pytest.mark.parametrize(
    "settings",
    [
        {"strength": 0.5, "sample_rate": 8000},
        {"strength": "auto", "auto_strength": {"max_strength": 0.4, "min_strength": 0.4}},
        {"max_attenuation_db": 6.0},
    ],
)
def test_a_stream_has_all_settings_of_its_client(settings):
    config = EnhancerConfig(**settings)
    noise = np.random.default_rng(0).normal(0, 0.1, 8000).astype(np.float32)

    async def enhanced() -> np.ndarray:
        pool = BatchedPool(config, lambda seconds: None)
        serving = asyncio.create_task(pool.run())
        try:
            return await pool.process(pool.open(config), noise, last=True)
        finally:
            serving.cancel()

    np.testing.assert_array_equal(asyncio.run(enhanced()), Enhancer(**settings).enhance(noise))
