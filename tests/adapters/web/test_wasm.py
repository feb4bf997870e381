"""The WebAssembly module of the engine in wasmtime: the samples of `Enhancer`, without any JavaScript."""

from pathlib import Path

import numpy as np
import pytest

from gtcrn_frontend import Enhancer
from gtcrn_frontend.weights.fold import fold_gtcrn
from gtcrn_frontend.weights.model import load_model
from gtcrn_frontend.weights.pack import pack_gtcrn

wasmtime = pytest.importorskip("wasmtime", reason="needs the package wasmtime, which runs WebAssembly")

AUTO = -1.0


class Instance:
    """An instance of the module with a model."""

    def __init__(self, wasm: Path, weights: bytes) -> None:
        self.store = wasmtime.Store()
        module = wasmtime.Module.from_file(self.store.engine, str(wasm))
        assert module.imports == [], "the module needs nothing of its host"
        self.exports = wasmtime.Instance(self.store, module, []).exports(self.store)
        self.call("_initialize")
        address = self.put(weights)
        self.model = self.call("web_load", address, len(weights))
        self.call("web_release", address)

    def call(self, name: str, *arguments: float) -> int:
        return self.exports[name](self.store, *arguments)

    def put(self, data: bytes) -> int:
        address = self.call("web_allocate", len(data))
        self.exports["memory"].write(self.store, data, address)
        return address

    def get(self, address: int, count: int) -> np.ndarray:
        return np.frombuffer(self.exports["memory"].read(self.store, address, address + 4 * count), np.float32)

    def message(self) -> str:
        text = self.exports["memory"].read(self.store, address := self.call("web_message"), address + 200)
        return bytes(text).split(b"\0")[0].decode()

    def enhance(self, samples: np.ndarray, rate: int, strength: float, chunk: int) -> np.ndarray:
        stream = self.call("web_open", self.model, rate, strength)
        assert stream, self.message()
        room = chunk + 20_000
        output = self.call("web_allocate", 4 * room)
        parts = []
        for part in np.split(samples, range(chunk, len(samples), chunk)):
            source = self.put(part.tobytes())
            parts.append(self.get(output, self.call("web_push", stream, source, len(part), output, room)))
            self.call("web_release", source)
        parts.append(self.get(output, self.call("web_finish", stream, output, room)))
        self.call("web_release", output)
        self.call("web_close", stream)
        return np.concatenate(parts)


@pytest.fixture(scope="module")
def random_weights(random_checkpoint: Path) -> bytes:
    return pack_gtcrn(fold_gtcrn(load_model(random_checkpoint).parameters))


@pytest.fixture(scope="module")
def own(dist: Path) -> Instance:
    """With the weights that the package brings."""
    return Instance(dist / "gtcrn.wasm", (dist / "weights.bin").read_bytes())


@pytest.fixture(scope="module")
def instances(
    dist: Path, own: Instance, random_weights: bytes, random_checkpoint: Path
) -> list[tuple[Instance, object]]:
    return [(own, "gtcrn-asr"), (Instance(dist / "gtcrn.wasm", random_weights), random_checkpoint)]


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000, 96_000, 11_111])
@pytest.mark.parametrize("strength", [0.8, 1.0, "auto"])
def test_the_samples_are_those_of_the_enhancer(instances, noisy, rate, strength) -> None:
    for instance, model in instances:
        samples = np.resize(noisy, rate)  # at another rate it is another signal, which does not matter here
        expected = Enhancer(model, "native", sample_rate=rate, strength=strength).enhance(samples)
        found = instance.enhance(samples, rate, AUTO if strength == "auto" else strength, 128)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found, expected, atol=1e-4 * max(1, np.abs(expected).max()))
        assert np.abs(expected - samples).max() > 0.01, "something is enhanced"


@pytest.mark.parametrize("chunk", [1, 97, 5_000])
def test_any_chunking_gives_the_same_samples(own, noisy, chunk) -> None:
    samples = noisy[:8_000]
    expected = own.enhance(samples, 48_000, 0.8, 128)
    np.testing.assert_array_equal(own.enhance(samples, 48_000, 0.8, chunk), expected)


def test_the_default_strength_is_that_of_the_enhancer(own, noisy) -> None:
    expected = Enhancer("gtcrn-asr", "native").enhance(noisy)
    np.testing.assert_allclose(own.enhance(noisy, 16_000, float("nan"), 512), expected, atol=1e-4)
    assert own.call("web_default_strength") == Enhancer("gtcrn-asr").strength


def test_what_is_wrong_is_refused_with_a_message(dist, own, random_weights) -> None:
    damaged = Instance(dist / "gtcrn.wasm", random_weights[:-1] + b"?")
    assert not damaged.model
    assert "damaged" in damaged.message()
    assert not own.call("web_open", own.model, 7_999, 0.8)
    assert "sample rates" in own.message()
    stream = own.call("web_open", own.model, 16_000, 0.8)
    samples = own.put(np.full(256, np.nan, np.float32).tobytes())
    assert own.call("web_push", stream, samples, 256, samples, 256) == -1
    assert own.call("web_set_strength", stream, 1.1) == -1
    own.call("web_close", stream)
    own.call("web_release", samples)


def test_a_closed_stream_leaves_no_memory_behind(own, noisy) -> None:
    def grown() -> int:
        own.enhance(noisy[:500], 48_000, 1.0, 100)
        return own.exports["memory"].size(own.store)

    first = grown()
    assert [grown() for _ in range(50)] == [first] * 50
