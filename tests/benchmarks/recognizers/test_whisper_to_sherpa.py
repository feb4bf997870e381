"""Whisper for sherpa-onnx: the graphs by themselves, and the real model beside faster-whisper, which has the same."""

import base64
import json
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import soundfile

from gtcrn_frontend.errors import ModelError
from gtcrn_frontend.evaluation.asr.normalise import Normalisation
from gtcrn_frontend.evaluation.asr.wer import count_errors, error_rate

START, NO_TIMESTAMPS, END = 50257, 50362, 50256  # of English models
LAYERS, STATE, CONTEXT, WORDS, MELS, FRAMES = 2, 128, 24, 50, 8, 30


@pytest.fixture(scope="module")
def weights() -> dict[str, np.ndarray]:
    """A small Whisper with random weights, named as CTranslate2 does."""
    rng = np.random.default_rng(0)
    shapes = {
        "encoder/conv1": (STATE, MELS, 3),
        "encoder/conv2": (STATE, STATE, 3),
        "encoder/layer_norm": (STATE,),
        "decoder/layer_norm": (STATE,),
    }
    for half in ("encoder", "decoder"):
        for i in range(LAYERS):
            block = f"{half}/layer_{i}"
            parts = (
                {"self_attention": (3, 1), "attention": (1, 2, 1)} if half == "decoder" else {"self_attention": (3, 1)}
            )
            for name, sizes in parts.items():
                shapes[f"{block}/{name}/layer_norm"] = (STATE,)
                shapes |= {f"{block}/{name}/linear_{n}": (size * STATE, STATE) for n, size in enumerate(sizes)}
            shapes[f"{block}/ffn/layer_norm"] = (STATE,)
            shapes[f"{block}/ffn/linear_0"] = (4 * STATE, STATE)
            shapes[f"{block}/ffn/linear_1"] = (STATE, 4 * STATE)
    found = {
        "encoder/position_encodings/encodings": rng.normal(0, 1, (FRAMES // 2, STATE)),
        "decoder/position_encodings/encodings": rng.normal(0, 1, (CONTEXT, STATE)),
        "decoder/embeddings/weight": rng.normal(0, 1, (WORDS, STATE)),
    }
    for name, shape in shapes.items():
        first, second = ("gamma", "beta") if len(shape) == 1 else ("weight", "bias")
        fan_in = int(np.prod(shape[1:])) or 1
        found[f"{name}/{first}"] = rng.normal(len(shape) == 1, fan_in**-0.5 / 2, shape)
        found[f"{name}/{second}"] = rng.normal(0, 0.1, shape[0])
    return {name: values.astype(np.float32) for name, values in found.items()}


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    onnx.checker.check_model(model, full_check=True)
    return onnxruntime.InferenceSession(model.SerializeToString())


class Steps:
    """A decoder that is called as sherpa-onnx calls it."""

    def __init__(self, decoder: onnxruntime.InferenceSession, keys: np.ndarray, values: np.ndarray, size: int) -> None:
        self._decoder, self._cross = decoder, {"n_layer_cross_k": keys, "n_layer_cross_v": values}
        shape = (keys.shape[0], keys.shape[1], size, keys.shape[3])
        self._caches = np.zeros(shape, np.float32), np.zeros(shape, np.float32)
        self.offset = 0

    def __call__(self, tokens: np.ndarray) -> np.ndarray:
        names = "in_n_layer_self_k_cache", "in_n_layer_self_v_cache"
        inputs = {"tokens": tokens, "offset": np.array([self.offset]), **dict(zip(names, self._caches, strict=True))}
        logits, *self._caches = self._decoder.run(None, {**inputs, **self._cross})
        self.offset += tokens.shape[1]
        return logits


def test_tokens_one_by_one_are_scored_as_all_at_once(weights: dict[str, np.ndarray]) -> None:
    from whisper_graphs import Dimensions, decoder, encoder

    dimensions = Dimensions.of(weights)
    assert dimensions == Dimensions(MELS, FRAMES // 2, STATE, LAYERS, WORDS, CONTEXT, STATE, LAYERS)
    rng = np.random.default_rng(1)
    mel = rng.normal(0, 1, (2, MELS, FRAMES)).astype(np.float32)
    cross = session(encoder(weights, dimensions, {})).run(None, {"mel": mel})
    assert [part.shape for part in cross] == [(LAYERS, 2, FRAMES // 2, STATE)] * 2
    network, tokens = session(decoder(weights, dimensions)), rng.integers(0, WORDS, (2, CONTEXT))
    whole = Steps(network, *cross, CONTEXT)(tokens)
    assert whole.shape == (2, CONTEXT, WORDS)
    step = Steps(network, *cross, CONTEXT)
    parts = [step(part) for part in np.split(tokens, [3, 4, 5, 11], axis=1)]
    parts_alone = Steps(network, *(part[:, 1:] for part in cross), CONTEXT)(tokens[1:])
    np.testing.assert_allclose(np.concatenate(parts, axis=1), whole, atol=1e-4)
    np.testing.assert_allclose(parts_alone, whole[1:], atol=1e-4)
    tokens[:, -1] = (tokens[:, -1] + 1) % WORDS
    changed = Steps(network, *cross, CONTEXT)(tokens)
    np.testing.assert_allclose(changed[:, :-1], whole[:, :-1], atol=1e-5)
    assert np.abs(changed[:, -1] - whole[:, -1]).max() > 0.1


@pytest.mark.parametrize("frames", [1, 2, 9, FRAMES])
def test_the_encoder_takes_any_length(weights: dict[str, np.ndarray], frames: int) -> None:
    from whisper_graphs import Dimensions, encoder

    mel = np.random.default_rng(2).normal(0, 1, (1, MELS, frames)).astype(np.float32)
    keys, _ = session(encoder(weights, Dimensions.of(weights), {})).run(None, {"mel": mel})
    assert keys.shape == (LAYERS, 1, (frames + 1) // 2, STATE)


def test_weights_of_something_else_are_refused(weights: dict[str, np.ndarray]) -> None:
    from whisper_graphs import Dimensions

    with pytest.raises(ModelError, match="expected the weights of Whisper, found none named"):
        Dimensions.of({name: values for name, values in weights.items() if "embeddings" not in name})


def test_bytes_have_the_characters_of_the_tokenizer() -> None:
    from whisper_to_sherpa import _byte_alphabet

    alphabet = _byte_alphabet()
    assert len(set(alphabet)) == 256
    assert (alphabet[ord("a")], alphabet[ord(" ")], alphabet[ord("\n")], alphabet[0xAD]) == ("a", "Ġ", "Ċ", "Ń")


@pytest.fixture(scope="module")
def heard(
    whisper_model: Path, sentences: list[tuple[Path, str]]
) -> list[tuple[np.ndarray, np.ndarray, list[int], str]]:
    """Samples, features, tokens and text of each sentence by faster-whisper, greedily and in one window of 30 s."""
    from faster_whisper import WhisperModel
    from faster_whisper.audio import pad_or_trim

    model = WhisperModel(str(whisper_model), device="cpu", compute_type="float32", cpu_threads=1)
    found = []
    for path, _ in sentences:
        samples = soundfile.read(path, dtype="float32")[0]
        segments = list(model.transcribe(samples, beam_size=1, temperature=0, without_timestamps=True)[0])
        tokens = [token for segment in segments for token in segment.tokens if token < END]
        features = pad_or_trim(model.feature_extractor(samples)[..., :-1])
        found.append((samples, features[None].astype(np.float32), tokens, " ".join(s.text for s in segments)))
    return found


@pytest.mark.whisper
def test_tokens_are_those_of_faster_whisper(sherpa_whisper: dict[str, str], heard: list) -> None:
    encoder, decoder = (onnxruntime.InferenceSession(sherpa_whisper[name]) for name in ("encoder", "decoder"))
    for _, features, expected, _ in heard:
        step, tokens = Steps(decoder, *encoder.run(None, {"mel": features}), 448), []
        scores = step(np.array([[START, NO_TIMESTAMPS]]))
        while (best := int(scores[0, -1].argmax())) != END and step.offset < 440:
            tokens.append(best)
            scores = step(np.array([[best]]))
        assert tokens == expected


@pytest.mark.whisper
def test_sherpa_onnx_writes_what_faster_whisper_does(sherpa_whisper: dict[str, str], heard: list) -> None:
    """But for a word here and there: the frames of sherpa-onnx's features lie half a hop beside those of Whisper."""
    import sherpa_onnx

    english, differences = Normalisation.from_text("english"), []
    recognizer = sherpa_onnx.OfflineRecognizer.from_whisper(**sherpa_whisper, num_threads=1, tail_paddings=3000)
    for samples, _, _, expected in heard:
        stream = recognizer.create_stream()
        stream.accept_waveform(16000, samples)
        recognizer.decode_stream(stream)
        differences.append(count_errors(english(expected), english(stream.result.text), "word"))
    assert error_rate(differences).value <= 0.05


@pytest.mark.whisper
def test_tokens_in_the_file_are_those_of_the_tokenizer(sherpa_whisper: dict[str, str], whisper_model: Path) -> None:
    import tokenizers

    tokenizer = tokenizers.Tokenizer.from_file(str(whisper_model / "tokenizer.json"))
    lines = [line.split() for line in Path(sherpa_whisper["tokens"]).read_text(encoding="ascii").splitlines()]
    values = {int(number): base64.b64decode(text) for text, number in lines}
    assert sorted(values) == list(range(END))
    text = "Naïve café: 3,5 € — “fine”\tno?\n"
    assert b"".join(values[number] for number in tokenizer.encode(text, add_special_tokens=False).ids).decode() == text


@pytest.mark.whisper
def test_a_folder_that_holds_no_english_whisper_is_refused(whisper_model: Path, tmp_path: Path) -> None:
    from whisper_to_sherpa import convert

    (tmp_path / "model.bin").symlink_to(whisper_model / "model.bin")
    with pytest.raises(ModelError, match=r"tokenizer\.json: expected the tokenizer"):
        convert(tmp_path, tmp_path / "out")
    (tmp_path / "tokenizer.json").write_text(json.dumps({"added_tokens": [], "model": {"vocab": {}}}))
    with pytest.raises(ModelError, match=r"tokenizer\.json: expected the tokenizer of an English Whisper"):
        convert(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
