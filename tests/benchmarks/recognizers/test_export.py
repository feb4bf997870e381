"""The exported files compute what the torch network does, in every way that sherpa-onnx calls them."""

from pathlib import Path
from types import ModuleType

import numpy as np
import onnxruntime
import pytest
import torch

from gtcrn_frontend.adapters.speechbrain.recipes.digits.ctc_recognizer import (
    CtcRecognizer,
    RecognizerConfig,
    output_lengths,
)

CONFIG = RecognizerConfig(n_mels=40, used_mels=30, channels=16, hidden=24, layers=2, symbols=5)
SYMBOLS = ["<blk>", "▁a", "▁b", "▁c", "▁d"]


@pytest.fixture(scope="module")
def export() -> ModuleType:
    import export

    return export


@pytest.fixture(scope="module")
def folder(export: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    network = CtcRecognizer(CONFIG)
    network.mean.normal_(-8, 1)
    network.scale.uniform_(0.2, 0.4)
    folder = tmp_path_factory.mktemp("recognizer")
    export.export(network, folder, SYMBOLS)
    return folder


def features(frames: int, batch: int = 1) -> np.ndarray:
    rng = np.random.default_rng(frames)
    return rng.normal(-8, 3, (batch, frames, CONFIG.n_mels)).astype(np.float32)


def run_offline(path: Path, x: np.ndarray, lengths: list[int]) -> tuple[np.ndarray, np.ndarray]:
    session = onnxruntime.InferenceSession(path)
    return tuple(session.run(None, {"x": x, "x_lens": np.array(lengths, np.int64)}))


def zero_states(session: onnxruntime.InferenceSession, batch: int) -> dict[str, np.ndarray]:
    states = {}
    for item in session.get_inputs()[1:]:
        shape = [batch if isinstance(size, str) else size for size in item.shape]
        states[item.name] = np.zeros(shape, np.int64 if "int64" in item.type else np.float32)
    return states


@pytest.mark.parametrize("frames", [1, 3, 4, 16, 77])
def test_offline_is_the_torch_network(export: ModuleType, folder: Path, frames: int) -> None:
    network = export.load(folder / "offline.onnx")
    x = features(frames)
    scores, lengths = run_offline(folder / "offline.onnx", x, [frames])
    with torch.no_grad():
        expected = network(torch.from_numpy(x))[0].numpy()
    assert lengths.tolist() == [len(expected)]
    assert np.abs(scores[0, : len(expected)] - expected).max() < 1e-4


def test_an_utterance_in_a_batch_is_as_alone(folder: Path) -> None:
    counts = [50, 33, 77]
    x = np.full((3, max(counts), CONFIG.n_mels), -23.03, np.float32)
    for row, count in zip(x, counts, strict=True):
        row[:count] = features(count)[0]
    scores, lengths = run_offline(folder / "offline.onnx", x, counts)
    assert lengths.tolist() == output_lengths(torch.tensor(counts)).tolist()
    for row, count, length in zip(scores, counts, lengths, strict=True):
        alone, _ = run_offline(folder / "offline.onnx", features(count), [count])
        assert np.abs(row[:length] - alone[0, :length]).max() < 1e-4


@pytest.mark.parametrize("batch", [1, 3])
def test_streaming_is_offline(export: ModuleType, folder: Path, batch: int) -> None:
    x = features(5 * export.CHUNK_FRAMES, batch)
    session = onnxruntime.InferenceSession(folder / "online.onnx")
    states, pieces = zero_states(session, batch), []
    for chunk in np.split(x, 5, axis=1):
        scores, *after = session.run(None, {"x": chunk, **states})
        pieces.append(scores)
        states = dict(zip(states, after, strict=True))
    offline, _ = run_offline(folder / "offline.onnx", x, [x.shape[1]] * batch)
    assert np.abs(np.concatenate(pieces, axis=1) - offline[:, : 4 * 5]).max() < 1e-4
    assert states["processed_lens"].tolist() == [x.shape[1]] * batch


def test_both_files_hold_the_same_weights_in_half_precision(export: ModuleType, folder: Path) -> None:
    online, offline = (export.load(folder / f"{name}.onnx").state_dict() for name in ("online", "offline"))
    assert all(torch.equal(online[name], offline[name]) for name in online)
    assert all(torch.equal(value, value.half().float()) for value in online.values())


def test_tokens_are_numbered_from_the_blank(folder: Path) -> None:
    lines = (folder / "tokens.txt").read_text(encoding="utf-8").splitlines()
    assert lines == [f"{symbol} {number}" for number, symbol in enumerate(SYMBOLS)]


def test_a_loaded_recogniser_can_be_exported_again_unchanged(export: ModuleType, folder: Path, tmp_path: Path) -> None:
    export.export(export.load(folder / "online.onnx"), tmp_path, SYMBOLS)
    for name in ("online.onnx", "offline.onnx", "tokens.txt"):
        assert (tmp_path / name).read_bytes() == (folder / name).read_bytes()
