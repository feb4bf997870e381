"""`with_frontend` and `EnhancingAudioNormalizer` around SpeechBrain's inference classes: tiny networks, random weights.

Each way from audio to a network has to be enhanced exactly once: what comes out is what the class alone makes of the
signal that was enhanced by hand.
"""

import copy
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from speechbrain.dataio.encoder import CTCTextEncoder
from speechbrain.inference.ASR import EncoderASR, EncoderDecoderASR, WhisperASR
from speechbrain.inference.interfaces import Pretrained
from speechbrain.inference.speaker import SpeakerRecognition
from speechbrain.inference.VAD import VAD
from speechbrain.lobes.features import Fbank
from torch import Tensor, nn

from gtcrn_frontend import Enhancer, EnhancerConfig
from gtcrn_frontend.adapters.speechbrain import EnhanceFrontend, EnhancingAudioNormalizer, with_frontend
from gtcrn_frontend.errors import ConfigError

Batch = tuple[Tensor, Tensor]
Load = Callable[..., Any]

FEATURES = """
__set_seed: !apply:torch.manual_seed [1]
pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
compute_features: !new:speechbrain.lobes.features.Fbank
    n_mels: 20
mean_var_norm: !new:speechbrain.processing.features.InputNormalization
    norm_type: sentence
    std_norm: False
"""
ENCODER_ASR = """
tokenizer: !new:speechbrain.dataio.encoder.CTCTextEncoder
decoding_function: !name:speechbrain.decoders.ctc_greedy_decode
    blank_id: 0
modules:
    encoder: !new:speechbrain.nnet.containers.LengthsCapableSequential
        features: !ref <compute_features>
        norm: !ref <mean_var_norm>
        linear: !new:speechbrain.nnet.linear.Linear
            input_size: 20
            n_neurons: 4
"""
ENCODER_DECODER_ASR = """
tokenizer: !new:speechbrain.dataio.encoder.CTCTextEncoder
encoder: !new:speechbrain.nnet.containers.LengthsCapableSequential
    features: !ref <compute_features>
    norm: !ref <mean_var_norm>
    rnn: !new:speechbrain.nnet.RNN.GRU
        input_size: 20
        hidden_size: 8
emb: !new:speechbrain.nnet.embedding.Embedding
    num_embeddings: 5
    embedding_dim: 4
dec: !new:speechbrain.nnet.RNN.AttentionalRNNDecoder
    rnn_type: gru
    attn_type: content
    enc_dim: 8
    input_size: 4
    hidden_size: 8
    attn_dim: 8
    num_layers: 1
decoder: !new:speechbrain.decoders.S2SRNNGreedySearcher
    embedding: !ref <emb>
    decoder: !ref <dec>
    linear: !new:speechbrain.nnet.linear.Linear
        input_size: 8
        n_neurons: 5
    bos_index: 0
    eos_index: 0
    min_decode_ratio: 0.0
    max_decode_ratio: 0.1
modules:
    encoder: !ref <encoder>
    decoder: !ref <decoder>
"""
SPEAKER = """
modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    embedding_model: !new:speechbrain.lobes.models.ECAPA_TDNN.ECAPA_TDNN
        input_size: 20
        channels: [8, 8, 8, 8, 24]
        attention_channels: 8
        se_channels: 8
        res2net_scale: 2
        lin_neurons: 6
    mean_var_norm_emb: !ref <mean_var_norm>
"""
VOICE_ACTIVITY = """
sample_rate: 16000
time_resolution: 0.01
device: cpu
cnn: !new:speechbrain.nnet.CNN.Conv2d
    input_shape: [null, null, 20]
    out_channels: 2
    kernel_size: [3, 3]
rnn: !new:speechbrain.nnet.RNN.GRU
    input_shape: [null, null, 40]
    hidden_size: 8
dnn: !new:speechbrain.nnet.linear.Linear
    input_size: 8
    n_neurons: 1
modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    cnn: !ref <cnn>
    rnn: !ref <rnn>
    dnn: !ref <dnn>
    model: !new:torch.nn.ModuleList
        - [!ref <cnn>, !ref <rnn>, !ref <dnn>]
"""


@pytest.fixture(scope="module")
def load(tmp_path_factory: pytest.TempPathFactory) -> Load:
    """Loads an inference class as its users do: `from_hparams` on a folder."""

    def load(kind: type, hparams: str) -> Any:
        folder = tmp_path_factory.mktemp(kind.__name__)
        (folder / "hyperparams.yaml").write_text(FEATURES + hparams)
        recogniser = kind.from_hparams(str(folder), savedir=str(folder / "saved"))
        tokenizer = getattr(recogniser, "tokenizer", None)
        if isinstance(tokenizer, CTCTextEncoder):
            tokenizer.update_from_iterable("abcde", sequence_input=False)
            tokenizer.decode_ids = lambda ids: "".join(tokenizer.decode_ndim(list(ids)))  # as sentencepiece has it
        return recogniser

    return load


class TinyWhisper(nn.Module):
    """What `WhisperASR` uses of a Whisper: log-mel features, an encoder, a way to tell the language."""

    language = "en"
    tokenizer = SimpleNamespace(decode=lambda tokens, skip_special_tokens: " ".join(map(str, tokens)))

    def __init__(self) -> None:
        super().__init__()
        self._get_mel = Fbank(n_mels=20)
        self.forward_encoder = nn.Linear(20, 4)

    def detect_language(self, mel: Tensor) -> tuple[Tensor, list[dict[str, float]]]:
        return mel.mean(dim=(1, 2)), [{"en": 1.0} for _ in mel]


class TinyDecoder(nn.Module):
    """What `WhisperASR` uses of a searcher."""

    temperature = 0.0

    def set_prompt(self, prompt: list[int]) -> None:
        self.no_speech_probs = [0.0]

    def forward(self, encoded: Tensor, lengths: Tensor) -> tuple[list[list[int]], None, Tensor, None]:
        return encoded.argmax(-1).tolist(), None, encoded.amax(-1).mean(1), None


@pytest.fixture(scope="module")
def whisper() -> Any:
    torch.manual_seed(1)
    model = TinyWhisper()
    hparams = {"language": "en", "sample_rate": 16000, "whisper": model, "normalized_transcripts": False}
    return WhisperASR({"whisper": model, "decoder": TinyDecoder()}, hparams)


@pytest.fixture(scope="module")
def asr(load: Load) -> Any:
    return load(EncoderASR, ENCODER_ASR)


@pytest.fixture(scope="module")
def vad(load: Load) -> Any:
    return load(VAD, VOICE_ACTIVITY)


@pytest.fixture(scope="module")
def speaker(load: Load) -> Any:
    return load(SpeakerRecognition, SPEAKER)


@pytest.fixture(scope="module")
def enhanced_file(enhanced_noisy: Tensor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("by hand") / "enhanced.wav"
    soundfile.write(path, enhanced_noisy.numpy(), 16000, subtype="FLOAT")
    return path


def assert_same(found: Any, expected: Any) -> None:
    """Equal tokens and texts, equal tensors but for rounding."""
    if isinstance(found, Tensor):
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
    elif isinstance(found, (list, tuple)):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    elif isinstance(found, float):
        assert found == pytest.approx(expected, abs=1e-4)
    else:
        assert found == expected


def differs(found: Tensor, other: Tensor) -> bool:
    return bool((found - other).abs().max() > 0.01)


@pytest.mark.parametrize(("kind", "hparams"), [(EncoderASR, ENCODER_ASR), (EncoderDecoderASR, ENCODER_DECODER_ASR)])
def test_recognisers(
    load: Load,
    kind: type,
    hparams: str,
    batch: Batch,
    enhanced_batch: Tensor,
    noisy_file: Path,
    enhanced_file: Path,
) -> None:
    raw = load(kind, hparams)
    enhancing = with_frontend(raw)
    assert isinstance(enhancing, kind)
    wavs, lengths = batch
    expected = raw.encode_batch(enhanced_batch, lengths)
    assert differs(raw.encode_batch(*batch), expected)
    assert_same(enhancing.encode_batch(*batch), expected)
    assert_same(enhancing.transcribe_batch(*batch), raw.transcribe_batch(enhanced_batch, lengths))
    assert_same(enhancing(*batch), raw(enhanced_batch, lengths))

    assert enhancing.transcribe_file(str(noisy_file)) == raw.transcribe_file(str(enhanced_file)) != ""
    loaded = enhancing.load_audio(str(noisy_file))
    by_hand = raw.encode_batch(raw.load_audio(str(enhanced_file))[None], torch.ones(1))
    assert_same(enhancing.encode_batch(loaded[None], torch.ones(1)), by_hand)
    signal = torch.from_numpy(soundfile.read(noisy_file, dtype="float32")[0])
    normalized = enhancing.audio_normalizer(signal, 16000)
    assert_same(enhancing.encode_batch(normalized[None], torch.ones(1)), by_hand)

    neutral = with_frontend(raw, strength=0)
    assert_same(neutral.transcribe_file(str(noisy_file)), raw.transcribe_file(str(noisy_file)))
    whole = torch.ones(3)
    assert torch.equal(neutral.encode_batch(wavs, whole), raw.encode_batch(wavs, whole))


def test_speaker_recognition(
    speaker: Any, batch: Batch, enhanced_batch: Tensor, noisy_file: Path, enhanced_file: Path
) -> None:
    enhancing = with_frontend(speaker)
    wavs, lengths = batch
    expected = speaker.encode_batch(enhanced_batch, lengths)
    assert differs(speaker.encode_batch(*batch), expected)
    assert_same(enhancing.encode_batch(*batch), expected)
    assert_same(enhancing.encode_batch(wavs[0]), expected[:1])  # a single signal, as the class takes it
    score, _ = enhancing.verify_batch(wavs[:1], wavs[1:2, :12000])
    by_hand = speaker.verify_batch(enhanced_batch[:1], enhanced_batch[1:2, :12000])
    assert score.item() == pytest.approx(by_hand[0].item(), abs=0.01)  # cut before its end, the second differs there
    assert_same(
        enhancing.verify_files(str(noisy_file), str(noisy_file)),
        speaker.verify_files(str(enhanced_file), str(enhanced_file)),
    )
    neutral = with_frontend(speaker, strength=0)
    assert torch.equal(neutral.encode_batch(wavs), speaker.encode_batch(wavs))


def test_voice_activity(vad: Any, batch: Batch, enhanced_batch: Tensor, noisy_file: Path) -> None:
    enhancing = with_frontend(vad)
    wavs, lengths = batch
    expected = vad.get_speech_prob_chunk(enhanced_batch, lengths)
    assert differs(vad.get_speech_prob_chunk(*batch), expected)
    assert_same(enhancing.get_speech_prob_chunk(*batch), expected)
    assert_same(enhancing(*batch), expected)
    assert_same(enhancing.get_speech_prob_chunk(wavs[0]), expected[:1])

    by_hand = copy.copy(vad)  # reads files, cuts them, and hands the pieces on: there they get enhanced
    by_hand.get_speech_prob_chunk = lambda wavs, wav_lens=None: vad.get_speech_prob_chunk(
        torch.stack([torch.from_numpy(Enhancer().enhance(wav.numpy())) for wav in wavs]), wav_lens
    )
    found = enhancing.get_speech_prob_file(str(noisy_file), large_chunk_size=2, small_chunk_size=1)
    assert_same(found, by_hand.get_speech_prob_file(str(noisy_file), large_chunk_size=2, small_chunk_size=1))
    segments = {"large_chunk_size": 2, "small_chunk_size": 1, "activation_th": 0.4, "speech_th": 0.1}
    found = enhancing.get_speech_segments(str(noisy_file), **segments)
    assert_same(found, by_hand.get_speech_segments(str(noisy_file), **segments))
    assert len(found), "there are segments to check twice"
    neutral = with_frontend(vad, strength=0)
    assert torch.equal(neutral.get_speech_prob_chunk(wavs), vad.get_speech_prob_chunk(wavs))


def test_whisper(whisper: Any, batch: Batch, enhanced_batch: Tensor, noisy_file: Path, enhanced_file: Path) -> None:
    """The class is SpeechBrain's; its network is a stand-in, as the real one needs the package `transformers`."""
    enhancing = with_frontend(whisper)
    whole = torch.ones(3)
    by_hand = enhancing.frontend(batch[0])
    assert differs(whisper.encode_batch(batch[0], whole), whisper.encode_batch(by_hand, whole))
    assert_same(enhancing.encode_batch(*batch), whisper.encode_batch(enhanced_batch, batch[1]))
    assert_same(enhancing.transcribe_batch(*batch), whisper.transcribe_batch(enhanced_batch, batch[1]))
    assert_same(enhancing.detect_language_batch(batch[0]), whisper.detect_language_batch(by_hand))
    assert_same(enhancing.detect_language_file(str(noisy_file)), whisper.detect_language_file(str(enhanced_file)))
    found = enhancing.transcribe_file(str(noisy_file), chunk_size=1)
    expected = whisper.transcribe_file(str(enhanced_file), chunk_size=1)
    assert len(found) == 2
    for segment, other in zip(found, expected, strict=True):
        assert_same(list(vars(segment).values()), list(vars(other).values()))
    neutral = with_frontend(whisper, strength=0)
    found = neutral.transcribe_file(str(noisy_file), chunk_size=1)
    assert [segment.tokens for segment in found] == [
        segment.tokens for segment in whisper.transcribe_file(str(noisy_file), chunk_size=1)
    ]


def test_the_real_whisper(batch: Batch, enhanced_batch: Tensor, tmp_path: Path) -> None:
    """The features and the encoder of SpeechBrain's Whisper, tiny and with random weights."""
    transformers = pytest.importorskip("transformers", reason="SpeechBrain's Whisper needs the package transformers")
    torch.manual_seed(0)
    layers = {f"{part}_{of}": n for part in ("encoder", "decoder") for of, n in (("layers", 1), ("attention_heads", 2))}
    sizes = {"d_model": 16, "encoder_ffn_dim": 16, "decoder_ffn_dim": 16, "vocab_size": 9, "pad_token_id": 0}
    tokens = {"bos_token_id": 1, "eos_token_id": 2, "decoder_start_token_id": 3}
    transformers.WhisperModel(transformers.WhisperConfig(**layers, **sizes, **tokens)).save_pretrained(tmp_path)
    transformers.WhisperFeatureExtractor().save_pretrained(tmp_path)
    from speechbrain.integrations.huggingface.whisper import Whisper

    model = Whisper(str(tmp_path), str(tmp_path / "saved"), encoder_only=True)
    hparams = {"language": "en", "sample_rate": 16000, "whisper": model, "normalized_transcripts": False}
    raw = WhisperASR({"whisper": model, "decoder": TinyDecoder()}, hparams)
    expected = raw.encode_batch(enhanced_batch, batch[1])
    assert_same(with_frontend(raw).encode_batch(*batch), expected)
    assert not torch.allclose(raw.encode_batch(*batch), expected, atol=1e-3)


def test_whisper_reads_streams_enhanced(whisper: Any, noisy: np.ndarray, enhanced_noisy: Tensor) -> None:
    """As with torchaudio's StreamReader, which newer versions do not have."""
    plain = with_frontend(whisper)._reading_enhanced()
    streamer = SimpleNamespace(
        num_src_streams=1,
        get_src_stream_info=lambda index: SimpleNamespace(media_type="audio"),
        add_basic_audio_stream=lambda **_: None,
        stream=lambda: ((chunk[:, None],) for chunk in torch.from_numpy(noisy).split(5000)),
    )
    chunks = list(plain._get_audio_stream(streamer, 5000))
    assert [chunk.shape[1] for chunk in chunks] == [5000] * 6 + [2000]
    torch.testing.assert_close(torch.cat(chunks, 1)[0], enhanced_noisy, atol=1e-6, rtol=0)


def test_a_normalizer_from_yaml(load: Load, noisy_file: Path, enhanced_noisy: Tensor, enhanced_file: Path) -> None:
    asr = load(
        EncoderASR,
        ENCODER_ASR + "audio_normalizer: !new:gtcrn_frontend.adapters.speechbrain.EnhancingAudioNormalizer\n",
    )
    assert_same(asr.load_audio(str(noisy_file)), enhanced_noisy)
    assert asr.transcribe_file(str(noisy_file)) == load(EncoderASR, ENCODER_ASR).transcribe_file(str(enhanced_file))
    assert asr.audio_normalizer.sample_rate == 16000
    with pytest.raises(ConfigError, match="whose audio_normalizer enhances already"):
        with_frontend(asr)


def test_a_normalizer_converts_first(noisy: np.ndarray, enhanced_noisy: Tensor) -> None:
    stereo = torch.from_numpy(np.stack([noisy, noisy], axis=1))
    assert_same(EnhancingAudioNormalizer()(stereo, 16000), enhanced_noisy)
    kept = EnhancingAudioNormalizer(mix="keep")(stereo, 16000)
    assert_same(kept, torch.stack([enhanced_noisy, enhanced_noisy], dim=1))
    half = EnhancingAudioNormalizer(8000, strength=0.5)
    assert half.sample_rate == 8000
    plain = half.normalizer(stereo, 16000)
    assert_same(half(stereo, 16000), torch.from_numpy(Enhancer(sample_rate=8000, strength=0.5).enhance(plain.numpy())))
    neutral = EnhancingAudioNormalizer(8000, strength=0)
    assert torch.equal(neutral(stereo, 16000), plain)


def test_the_one_given_stays_as_it_is(asr: Any, batch: Batch) -> None:
    before = asr.encode_batch(*batch)
    keys = set(asr.state_dict())
    enhancing = with_frontend(asr, strength=0.5)
    assert torch.equal(asr.encode_batch(*batch), before)
    assert set(asr.state_dict()) == keys
    assert enhancing.mods is asr.mods
    twin = copy.deepcopy(enhancing)
    assert torch.equal(twin.encode_batch(*batch), enhancing.encode_batch(*batch))
    twin.frontend.strength = 1.0
    assert enhancing.frontend.strength == 0.5


def test_wrapping_again_replaces_the_front_end(asr: Any, batch: Batch, enhanced_batch: Tensor) -> None:
    again = with_frontend(with_frontend(asr, strength=0.3))
    assert_same(again.encode_batch(*batch), asr.encode_batch(enhanced_batch, batch[1]))
    assert type(again) is type(with_frontend(asr))


def test_a_front_end_of_ones_own(asr: Any, batch: Batch, random_checkpoint: Path) -> None:
    frontend = EnhanceFrontend(random_checkpoint, train_strength=[0, 1])
    enhancing = with_frontend(asr, frontend)
    expected = asr.encode_batch(EnhanceFrontend(random_checkpoint).eval()(*batch), batch[1])
    assert_same(enhancing.encode_batch(*batch), expected)
    with pytest.raises(ConfigError, match=r"expected a front-end or settings for one, got both \(strength\)"):
        with_frontend(asr, frontend, strength=0.5)


def test_settings_of_an_enhancer(asr: Any, batch: Batch, tmp_path: Path) -> None:
    config = EnhancerConfig(strength=0.5, auto_strength={"min_strength": 0.4}, num_threads=2)
    expected = with_frontend(asr, strength=0.5).encode_batch(*batch)
    for given in (config, Enhancer.from_config(config)):
        assert torch.equal(with_frontend(asr, given).encode_batch(*batch), expected)
    (tmp_path / "frontend.yaml").write_text("strength: 0.5\nbypass: true\n")
    bypassed = with_frontend(asr, EnhanceFrontend.from_config(tmp_path / "frontend.yaml"))
    assert torch.equal(bypassed.encode_batch(*batch), with_frontend(asr, strength=0).encode_batch(*batch))
    with pytest.raises(ConfigError, match="expected settings without channels, downmix for SpeechBrain"):
        with_frontend(asr, EnhancerConfig(channels=2, downmix=True))
    with pytest.raises(ConfigError, match=r"expected an EnhanceFrontend, an Enhancer or an EnhancerConfig .* got str"):
        with_frontend(asr, "gtcrn-asr")


def test_the_rate_is_the_recognisers(load: Load, batch: Batch) -> None:
    asr = load(
        EncoderASR,
        ENCODER_ASR + "audio_normalizer: !new:speechbrain.dataio.preprocess.AudioNormalizer\n    sample_rate: 8000\n",
    )
    assert with_frontend(asr).frontend.sample_rate == 8000
    with pytest.raises(ConfigError, match="expected a front-end for the recogniser's 8000 Hz, got one for 16000"):
        with_frontend(asr, EnhanceFrontend())
    with pytest.raises(ConfigError, match="8000 Hz, got one for 16000"):
        with_frontend(asr, sample_rate=16000)


def test_other_objects_are_refused() -> None:
    for other in (object(), Pretrained({}, {})):
        with pytest.raises(ConfigError, match="expected EncoderASR, .*got " + type(other).__name__):
            with_frontend(other)
