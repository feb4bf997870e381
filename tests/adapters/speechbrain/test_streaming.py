"""`with_frontend(StreamingASR)`: a tiny Conformer-transducer, as in SpeechBrain's own example, with random weights."""

import copy
import itertools
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
import torchaudio
from hypothesis import given, settings
from hypothesis import strategies as st
from speechbrain.inference.ASR import StreamingASR
from speechbrain.utils.dynamic_chunk_training import DynChunkTrainConfig
from torch import Tensor

from gtcrn_frontend import Enhancer
from gtcrn_frontend.adapters.speechbrain import with_frontend
from gtcrn_frontend.errors import AudioFormatError, ConfigError, StateError

HPARAMS = """
__set_seed: !apply:torch.manual_seed [3]
compute_features: !new:speechbrain.lobes.features.Fbank
    n_fft: 512
    n_mels: 20
    win_length: 32
CNN: !new:speechbrain.lobes.models.convolution.ConvolutionFrontEnd
    input_shape: [8, 10, 20]
    num_blocks: 2
    num_layers_per_block: 1
    out_channels: [8, 4]
    kernel_sizes: [3, 3]
    strides: [2, 2]
    residuals: [False, False]
Transformer: !new:speechbrain.lobes.models.transformer.TransformerASR.TransformerASR
    input_size: 20
    tgt_vocab: 12
    d_model: 16
    nhead: 2
    num_encoder_layers: 1
    num_decoder_layers: 0
    d_ffn: 16
    activation: !name:torch.nn.GELU
    encoder_module: conformer
    attention_type: RelPosMHAXL
    normalize_before: True
    causal: False
enc: !new:speechbrain.lobes.models.transformer.TransformerASR.EncoderWrapper
    transformer: !ref <Transformer>
proj_enc: !new:speechbrain.nnet.linear.Linear
    input_size: 16
    n_neurons: 24
proj_dec: !new:speechbrain.nnet.linear.Linear
    input_size: 16
    n_neurons: 24
emb: !new:speechbrain.nnet.embedding.Embedding
    num_embeddings: 12
    consider_as_one_hot: True
    blank_id: 0
dec: !new:speechbrain.nnet.RNN.LSTM
    input_shape: [null, null, 11]
    hidden_size: 16
    re_init: True
Tjoint: !new:speechbrain.nnet.transducer.transducer_joint.Transducer_joint
    joint: sum
    nonlinearity: !name:torch.nn.GELU
transducer_lin: !new:speechbrain.nnet.linear.Linear
    input_size: 24
    n_neurons: 12
Greedysearcher: !new:speechbrain.decoders.transducer.TransducerBeamSearcher
    decode_network_lst: [!ref <emb>, !ref <dec>, !ref <proj_dec>]
    tjoint: !ref <Tjoint>
    classifier_network: [!ref <transducer_lin>]
    blank_id: 0
    beam_size: 1
    nbest: 1
tokenizer: null
make_tokenizer_streaming_context: !name:builtins.list
tokenizer_decode_streaming: null
make_decoder_streaming_context: !name:speechbrain.decoders.transducer.TransducerGreedySearcherStreamingContext
decoding_function: !name:speechbrain.decoders.transducer.TransducerBeamSearcher.transducer_greedy_decode_streaming
    - !ref <Greedysearcher>
fea_streaming_extractor: !new:speechbrain.lobes.features.StreamingFeatureWrapper
    module: !new:speechbrain.nnet.containers.LengthsCapableSequential
        - !ref <compute_features>
        - !ref <CNN>
    properties: !apply:speechbrain.utils.filter_analysis.stack_filter_properties
        - [!ref <compute_features>, !ref <CNN>]
modules:
    CNN: !ref <CNN>
    enc: !ref <enc>
    proj_enc: !ref <proj_enc>
    Greedysearcher: !ref <Greedysearcher>
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
"""
CONFIG = DynChunkTrainConfig(8, 2)


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("streaming")
    (folder / "hyperparams.yaml").write_text(HPARAMS)
    asr = StreamingASR.from_hparams(str(folder), savedir=str(folder / "saved"))
    # SpeechBrain 1.1.2's own asks sentencepiece for an "immutable_proto", which 0.2.3 no longer has.
    asr.hparams.tokenizer_decode_streaming = spell
    return asr


def spell(tokenizer: None, tokens: list[int], spelt: list[int]) -> str:
    """Letters for tokens; the context is what was spelt before."""
    spelt += tokens
    return "".join(chr(ord("a") + token) for token in tokens)


@pytest.fixture(scope="module")
def enhancing(raw: Any) -> Any:
    return with_frontend(raw)


@pytest.fixture(scope="module")
def size(raw: Any) -> int:
    return int(raw.get_chunk_size_frames(CONFIG))


def silence(raw: Any, size: int) -> list[Tensor]:
    return [torch.zeros(1, size)] * int(raw.hparams.fea_streaming_extractor.get_recommended_final_chunk_count(size))


@pytest.fixture(scope="module")
def expected(raw: Any, enhanced_noisy: Tensor, size: int) -> Tensor:
    """The plain recogniser, fed with the signal enhanced as a whole."""
    return encode_alone(raw, enhanced_noisy, size)


def encode_alone(raw: Any, signal: Tensor, size: int) -> Tensor:
    context = raw.make_streaming_context(CONFIG)
    chunks = [*signal[None].split(size, dim=1), *silence(raw, size)]
    return torch.cat([raw.encode_chunk(context, chunk) for chunk in chunks], dim=1)


def encode(asr: Any, signal: Tensor, sizes: Sequence[int], last: list[Tensor]) -> Tensor:
    context = asr.make_streaming_context(CONFIG)
    encoded = [asr.encode_chunk(context, chunk) for chunk in signal[None].split(list(sizes), dim=1)]
    encoded.append(asr.encode_rest(context))
    encoded += [asr.encode_chunk(context, chunk) for chunk in last]
    return torch.cat(encoded, dim=1)


def in_pieces(total: int, size: int) -> list[int]:
    return [size] * (total // size) + ([total % size] if total % size else [])


def test_the_chunk_size_is_no_multiple_of_a_hop(size: int, noisy: np.ndarray) -> None:
    assert size == 639 * 8
    assert size % 256
    assert len(noisy) % size


def test_streaming_equals_offline(enhancing: Any, raw: Any, noisy: np.ndarray, size: int, expected: Tensor) -> None:
    encoded = encode(enhancing, torch.from_numpy(noisy), in_pieces(len(noisy), size), silence(raw, size))
    torch.testing.assert_close(encoded, expected, atol=1e-5, rtol=0)
    assert encoded.shape[1] > 40
    without = encode_alone(raw, torch.from_numpy(noisy), size)
    assert (without - expected).abs().max() > 0.01, "the front-end makes a difference here"


@given(cuts=st.lists(st.integers(0, 32000), max_size=12))
@settings(max_examples=10, deadline=None)
def test_chunks_may_have_any_size(
    enhancing: Any, raw: Any, noisy: np.ndarray, size: int, expected: Tensor, cuts: list[int]
) -> None:
    edges = [0, *sorted(cuts), len(noisy)]
    sizes = [stop - start for start, stop in itertools.pairwise(edges)]
    encoded = encode(enhancing, torch.from_numpy(noisy), sizes, silence(raw, size))
    torch.testing.assert_close(encoded, expected, atol=1e-5, rtol=0)


def test_strength_zero_is_the_recogniser_alone(raw: Any, noisy: np.ndarray, size: int) -> None:
    signal = torch.from_numpy(noisy)
    encoded = encode(with_frontend(raw, strength=0), signal, in_pieces(len(noisy), size), silence(raw, size))
    assert torch.equal(encoded, encode_alone(raw, signal, size))


@pytest.mark.parametrize("chosen", [{"strength": "auto"}, {"model": "random:lite_rtse"}])
def test_the_guard_and_other_networks_stream(raw: Any, noisy: np.ndarray, size: int, chosen: dict[str, Any]) -> None:
    encoded = encode(with_frontend(raw, **chosen), torch.from_numpy(noisy), in_pieces(len(noisy), 3000), [])
    expected = encode_alone(raw, torch.from_numpy(Enhancer(**chosen).enhance(noisy)), size)
    torch.testing.assert_close(encoded, expected[:, : encoded.shape[1]], atol=1e-5, rtol=0)
    assert encoded.shape[1] > 40


def test_blocks_come_as_soon_as_they_are_complete(enhancing: Any, noisy: np.ndarray, size: int) -> None:
    context = enhancing.make_streaming_context(CONFIG)
    signal = torch.from_numpy(noisy)[None]
    first = enhancing.encode_chunk(context, signal[:, :size])
    assert first.shape == (1, 0, 24)
    assert enhancing.decode_chunk(context, first) == ([""], [[]])
    assert enhancing.encode_chunk(context, signal[:, size : size + 512]).shape == (1, 8, 24)
    assert enhancing.encode_chunk(context, signal[:, size + 512 : 4 * size]).shape == (1, 16, 24)


def transcribe(asr: Any, context: Any, signal: Tensor, last: list[Tensor]) -> list[str]:
    words = [asr.transcribe_chunk(context, chunk)[0] for chunk in signal.split(1000, dim=1)]
    return words + asr.transcribe_rest(context) + [asr.transcribe_chunk(context, chunk)[0] for chunk in last]


def test_contexts_are_copied_and_run_side_by_side(enhancing: Any, raw: Any, noisy: np.ndarray, size: int) -> None:
    last = silence(raw, size)
    signal = torch.from_numpy(noisy)[None, :14000]
    other = signal.flip(1)
    alone = transcribe(enhancing, enhancing.make_streaming_context(CONFIG), signal, last)
    assert "".join(alone), "random weights find something to say"

    context, beside = (enhancing.make_streaming_context(CONFIG) for _ in range(2))
    words = []
    for chunk, of_other in zip(signal[:, :8000].split(1000, dim=1), other.split(1000, dim=1), strict=False):
        words += enhancing.transcribe_chunk(context, chunk)
        enhancing.transcribe_chunk(beside, of_other)
    twin = copy.deepcopy(context)
    assert words + transcribe(enhancing, context, signal[:, 8000:], last) == alone
    enhancing.transcribe_chunk(twin, other[:, :3000])
    again = enhancing.make_streaming_context(CONFIG)
    fork = [*enhancing.transcribe_chunk(again, signal[:, :8000])]
    twin = copy.deepcopy(again)
    transcribe(enhancing, again, other, last)
    assert "".join(fork + transcribe(enhancing, twin, signal[:, 8000:], last)) == "".join(alone)


def test_files(enhancing: Any, raw: Any, noisy_file: Path, enhanced_noisy: Tensor, tmp_path: Path) -> None:
    by_hand = tmp_path / "enhanced.wav"
    soundfile.write(by_hand, enhanced_noisy.numpy(), 16000, subtype="FLOAT")
    expected = list(raw.transcribe_file_streaming(str(by_hand), CONFIG, use_torchaudio_streaming=False))
    pieces = list(enhancing.transcribe_file_streaming(str(noisy_file), CONFIG, use_torchaudio_streaming=False))
    assert "".join(pieces) == "".join(expected) != ""
    # A call for each chunk of the file; the one more is the rest.
    assert len(pieces) == len(expected) + 1
    assert enhancing.transcribe_file(str(noisy_file), CONFIG, False) == "".join(expected)


class Reader:
    """What is used of torchaudio's StreamReader, which newer versions do not have."""

    num_src_streams = 1

    def __init__(self, path: str) -> None:
        self._signal = torch.from_numpy(soundfile.read(path, dtype="float32")[0])[:, None]

    def get_src_stream_info(self, index: int) -> Any:
        return type("Info", (), {"media_type": "audio"})

    def add_basic_audio_stream(self, frames_per_chunk: int, **_: Any) -> None:
        self._size = frames_per_chunk

    def stream(self) -> Any:
        return ((chunk,) for chunk in self._signal.split(self._size))


def test_files_through_torchaudio(enhancing: Any, raw: Any, noisy_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = enhancing.transcribe_file(str(noisy_file), CONFIG, False)
    monkeypatch.setattr(torchaudio, "io", type("io", (), {"StreamReader": Reader}), raising=False)
    assert enhancing.transcribe_file(str(noisy_file), CONFIG) == expected
    monkeypatch.delattr(torchaudio, "io")
    with pytest.raises(ConfigError, match="pass use_torchaudio_streaming=False"):
        enhancing.transcribe_file(str(noisy_file), CONFIG)


def test_a_batch_whose_streams_end_at_different_times(enhancing: Any, raw: Any, noisy: np.ndarray, size: int) -> None:
    counts = [len(noisy), 9000]
    chunk_count = -(-len(noisy) // size)
    signals = np.zeros((2, chunk_count * size), np.float32)
    enhanced = np.zeros_like(signals)
    for lane, count in enumerate(counts):
        signals[lane, :count] = noisy[:count]
        enhanced[lane, :count] = Enhancer().enhance(noisy[:count])
    parts = [torch.tensor([min(max(n - k * size, 0), size) / size for n in counts]) for k in range(chunk_count)]
    expected, encoded = [], []
    plain, context = raw.make_streaming_context(CONFIG), enhancing.make_streaming_context(CONFIG)
    for k, part in enumerate(parts):
        part_of = slice(k * size, (k + 1) * size)
        expected.append(raw.encode_chunk(plain, torch.from_numpy(enhanced[:, part_of]), part))
        encoded.append(enhancing.encode_chunk(context, torch.from_numpy(signals[:, part_of]), part))
    encoded.append(enhancing.encode_rest(context))
    torch.testing.assert_close(torch.cat(encoded, 1), torch.cat(expected, 1), atol=1e-5, rtol=0)
    assert context.lanes.finished


def test_strength_may_change_on_the_way(raw: Any, noisy: np.ndarray, size: int) -> None:
    asr = with_frontend(raw, strength=0)
    context = asr.make_streaming_context(CONFIG)
    signal = torch.from_numpy(noisy)[None]
    before = asr.encode_chunk(context, signal[:, : size + 1000])
    asr.frontend.strength = 1.0
    after = asr.encode_chunk(context, signal[:, size + 1000 : 3 * size + 1000])
    plain = raw.make_streaming_context(CONFIG)
    assert torch.equal(before, raw.encode_chunk(plain, signal[:, :size]))
    assert not torch.allclose(after[:, :8], raw.encode_chunk(plain, signal[:, size : 2 * size]), atol=1e-4)


def test_what_does_not_fit_is_refused(enhancing: Any, raw: Any) -> None:
    chunk = torch.zeros(1, 100)
    with pytest.raises(StateError, match="expected a context from make_streaming_context of this recogniser"):
        enhancing.encode_chunk(raw.make_streaming_context(CONFIG), chunk)
    context = enhancing.make_streaming_context(CONFIG)
    with pytest.raises(StateError, match="there is nothing to flush"):
        enhancing.encode_rest(context)
    enhancing.encode_chunk(context, torch.zeros(2, 100), torch.tensor([1.0, 0.5]))
    with pytest.raises(AudioFormatError, match=re.escape("expected a chunk (2, n), got shape (1, 100)")):
        enhancing.encode_chunk(context, chunk)
    with pytest.raises(StateError, match="expected no more samples in lane 1"):
        enhancing.encode_chunk(context, torch.zeros(2, 100))
    with pytest.raises(AudioFormatError, match="finite"):
        enhancing.encode_chunk(context, torch.full((2, 100), torch.nan), torch.tensor([1.0, 0.0]))
