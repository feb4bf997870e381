"""Tiny models that the real classes of sherpa-onnx load and run, each with the contract of a published kind of model.

None is trained, all are made here from a few operators: they tell three tones apart (bands of energy), or speech from
silence (power). Their answers depend on the samples that reach them, and that is all that these tests ask of them.
"""

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest
import sherpa_onnx

TONES_HZ = {"low": 250, "mid": 1000, "high": 3500}
BANDS = 40

# (N, 4 T, 40) log-mel energies -> (N, T, 4) logits of blank, low, mid, high: a tone is as likely as its band is loud
NAME_TONES = """
    by_four = Reshape(x, by_four_shape)
    mean = ReduceMean<axes = [2], keepdims = 0>(by_four)
    low_bands, mid_bands, high_bands = Split<axis = -1>(mean, sizes)
    low = ReduceMax<axes = [-1]>(low_bands)
    mid = ReduceMax<axes = [-1]>(mid_bands)
    high = ReduceMax<axes = [-1]>(high_bands)
    blank = Mul(low, zero)
    logits = Concat<axis = -1>(blank, low, mid, high)
"""
NAME_TONES_CONSTANTS = "int64[4] by_four_shape = {0, -1, 4, 40}, int64[3] sizes = {13, 13, 14}, float zero = {0.0}"
HEADER = '<ir_version: 8, opset_import: ["" : 13]>'
TOKENS = "<blk> 0\n▁low 1\n▁mid 2\n▁high 3\n"

# As zipformer2: one state goes on, the others only pass through.
ONLINE_CTC = f"""{HEADER}
tones (float[N, 16, 40] x, float[1, N, 8] key, float[1, N, 1, 3] attn, float[1, N, 1] val1, float[1, N, 1] val2,
       float[N, 4, 1] conv1, float[N, 4, 1] conv2, float[N, 128, 3, 19] embed, int64[N] processed)
   => (float[N, 4, 4] log_probs, float[1, N, 8] next_key, float[1, N, 1, 3] next_attn, float[1, N, 1] next_val1,
       float[1, N, 1] next_val2, float[N, 4, 1] next_conv1, float[N, 4, 1] next_conv2,
       float[N, 128, 3, 19] next_embed, int64[N] next_processed)
<{NAME_TONES_CONSTANTS}>
{{
    {NAME_TONES}
    log_probs = LogSoftmax<axis = -1>(logits)
    next_key = Identity(key)
    next_attn = Identity(attn)
    next_val1 = Identity(val1)
    next_val2 = Identity(val2)
    next_conv1 = Identity(conv1)
    next_conv2 = Identity(conv2)
    next_embed = Identity(embed)
    next_processed = Identity(processed)
}}"""
ONLINE_CTC_METADATA = {
    "encoder_dims": 4,
    "query_head_dims": 8,
    "value_head_dims": 1,
    "num_heads": 1,
    "num_encoder_layers": 1,
    "cnn_module_kernels": 3,
    "left_context_len": 1,
    "T": 16,
    "decode_chunk_len": 16,
}

OFFLINE_CTC = f"""{HEADER}
tones (float[N, T, 40] all, int64[N] all_lens) => (float[N, U, 4] log_probs, int64[N] lens)
<{NAME_TONES_CONSTANTS}, int64 four = {{4}}, int64[1] begin = {{0}}, int64[1] axis = {{1}}>
{{
    shape = Shape(all)
    frames = Gather(shape, axis)
    quarter = Div(frames, four)
    whole = Mul(quarter, four)
    x = Slice(all, begin, whole, axis)
    {NAME_TONES}
    log_probs = LogSoftmax<axis = -1>(logits)
    lens = Div(all_lens, four)
}}"""

# As a transducer of LSTMs: the encoder hears the tones, and the decoder keeps one from being named again and again.
ENCODER = f"""{HEADER}
tones (float[N, 16, 40] x, float[1, N, 2] h, float[1, N, 2] c)
   => (float[N, 4, 4] logits, float[1, N, 2] next_h, float[1, N, 2] next_c)
<{NAME_TONES_CONSTANTS}>
{{
    {NAME_TONES}
    next_h = Identity(h)
    next_c = Identity(c)
}}"""
ENCODER_METADATA = {
    "model_type": "lstm",
    "num_encoder_layers": 1,
    "T": 16,
    "decode_chunk_len": 16,
    "rnn_hidden_size": 2,
    "d_model": 2,
}
DECODER = f"""{HEADER}
not_again (int64[N, 2] y) => (float[N, 4] out)
<int64 last = {{1}}, int64 depth = {{4}}, float[2] values = {{0.0, 1.0}},
 float[4] penalty = {{0.0, -40.0, -40.0, -40.0}}>
{{
    token = Gather<axis = 1>(y, last)
    one_hot = OneHot<axis = -1>(token, depth, values)
    out = Mul(one_hot, penalty)
}}"""
JOINER = f"""{HEADER}
sum (float[N, 4] encoded, float[N, 4] decoded) => (float[N, 4] logit) {{ logit = Add(encoded, decoded) }}"""

# As silero-vad 4 (four inputs): louder than the limit, a mean square of 0.0004, is speech.
VAD_4 = f"""{HEADER}
power (float[1, n] input, int64[1] sr, float[2, 1, 64] h, float[2, 1, 64] c)
   => (float[1, 1] output, float[2, 1, 64] hn, float[2, 1, 64] cn)
<float limit = {{0.0004}}>
{{
    square = Mul(input, input)
    power = ReduceMean<axes = [1]>(square)
    sum = Add(power, limit)
    output = Div(power, sum)
    hn = Identity(h)
    cn = Identity(c)
}}"""
# As silero-vad 5 (three inputs): windows overlap by 64 samples.
VAD_5 = f"""{HEADER}
power (float[1, n] input, float[2, 1, 128] state, int64[1] sr) => (float[1, 1] output, float[2, 1, 128] stateN)
<float limit = {{0.0004}}>
{{
    square = Mul(input, input)
    power = ReduceMean<axes = [1]>(square)
    sum = Add(power, limit)
    output = Div(power, sum)
    stateN = Identity(state)
}}"""
# As ten-vad: log-mel energies of three windows, one of them the newest, and four states.
VAD_TEN = f"""{HEADER}
loudness (float[1, 3, 41] x, float[1, 64] a, float[1, 64] b, float[1, 64] c, float[1, 64] d)
      => (float[1, 1, 1] prob, float[1, 64] next_a, float[1, 64] next_b, float[1, 64] next_c, float[1, 64] next_d)
<int64[1] newest = {{2}}, int64[1] end = {{3}}, int64[1] axis = {{1}}, float limit = {{2.0}}>
{{
    window = Slice(x, newest, end, axis)
    loudest = ReduceMax<axes = [2]>(window)
    above = Sub(loudest, limit)
    prob = Sigmoid(above)
    next_a = Identity(a)
    next_b = Identity(b)
    next_c = Identity(c)
    next_d = Identity(d)
}}"""
VAD_TEN_METADATA = {
    "model_type": "ten-vad",
    "mean": ",".join(["0.0"] * 40 + ["1000.0"]),  # the last feature is the pitch, which is always 0
    "inv_stddev": ",".join(["1.0"] * 41),
    "window": ",".join(["1.0"] * 768),
}

# As a WeSpeaker model: the embedding is the mean of the features.
SPEAKER = f"""{HEADER}
mean (float[N, T, 80] x) => (float[N, 80] embedding) {{ embedding = ReduceMean<axes = [1], keepdims = 0>(x) }}"""
SPEAKER_METADATA = {
    "framework": "wespeaker",
    "language": "none",
    "output_dim": 80,
    "sample_rate": 16000,
    "normalize_samples": 1,
}

# As CED: probabilities of three events, by the mean energy of three groups of bands.
TAGS = f"""{HEADER}
tags (float[1, 64, T] x) => (float[1, 3] probs) <int64[3] sizes = {{16, 16, 32}}>
{{
    mean = ReduceMean<axes = [2], keepdims = 0>(x)
    a, b, c = Split<axis = 1>(mean, sizes)
    low = ReduceMean<axes = [1]>(a)
    mid = ReduceMean<axes = [1]>(b)
    high = ReduceMean<axes = [1]>(c)
    logits = Concat<axis = 1>(low, mid, high)
    probs = Softmax<axis = 1>(logits)
}}"""
TAG_LABELS = 'index,mid,display_name\n0,/m/0,"low"\n1,/m/1,"mid"\n2,/m/2,"high"\n'

# As Whisper: the language is the loudest of three groups of bands.
WHISPER_ENCODER = f"""{HEADER}
encoder (float[1, 80, T] mel) => (float[1, 1, 1, 4] cross_k, float[1, 1, 1, 4] cross_v)
<int64[3] sizes = {{20, 20, 40}}, int64[4] shape = {{1, 1, 1, 4}}, float zero = {{0.0}}>
{{
    mean = ReduceMean<axes = [2], keepdims = 0>(mel)
    a, b, c = Split<axis = 1>(mean, sizes)
    low = ReduceMean<axes = [1]>(a)
    mid = ReduceMean<axes = [1]>(b)
    high = ReduceMean<axes = [1]>(c)
    start = Mul(low, zero)
    row = Concat<axis = 1>(start, low, mid, high)
    cross_k = Reshape(row, shape)
    cross_v = Identity(cross_k)
}}"""
WHISPER_ENCODER_METADATA = {
    "model_type": "whisper-tiny",
    "n_mels": 80,
    "n_text_layer": 1,
    "n_text_ctx": 4,
    "n_text_state": 4,
    "n_vocab": 4,
    "sot": 0,
    "eot": 0,
    "blank_id": 0,
    "translate": 0,
    "transcribe": 0,
    "is_multilingual": 1,
    "no_timestamps": 0,
    "no_speech": 0,
    "sot_sequence": "0,1,2",
    "all_language_tokens": "1,2,3",
    "all_language_codes": "lo,mi,hi",
}
WHISPER_DECODER = f"""{HEADER}
decoder (int64[1, 1] tokens, float[1, 1, 4, 4] self_k, float[1, 1, 4, 4] self_v, float[1, 1, 1, 4] cross_k,
         float[1, 1, 1, 4] cross_v, int64[1] offset)
     => (float[1, 1, 4] logits, float[1, 1, 4, 4] next_k, float[1, 1, 4, 4] next_v)
<int64[3] shape = {{1, 1, 4}}>
{{
    logits = Reshape(cross_k, shape)
    next_k = Identity(self_k)
    next_v = Identity(self_v)
}}"""


def save(path: Path, text: str, metadata: dict | None = None) -> str:
    model = onnx.parser.parse_model(text)
    onnx.helper.set_model_props(model, {key: str(value) for key, value in (metadata or {}).items()})
    onnx.save(model, path)
    return str(path)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    """A folder with one online and one offline recogniser of tones, and their tokens."""
    folder = tmp_path_factory.mktemp("tiny")
    (folder / "tokens.txt").write_text(TOKENS, encoding="utf-8")
    save(folder / "online.onnx", ONLINE_CTC, ONLINE_CTC_METADATA)
    save(folder / "offline.onnx", OFFLINE_CTC)
    save(folder / "vad_4.onnx", VAD_4)
    return folder


def online(folder: Path, **settings):
    tokens, model = str(folder / "tokens.txt"), str(folder / "online.onnx")
    return sherpa_onnx.OnlineRecognizer.from_zipformer2_ctc(
        tokens=tokens, model=model, feature_dim=BANDS, num_threads=1, **settings
    )


def offline(folder: Path, **settings):
    tokens, model = str(folder / "tokens.txt"), str(folder / "offline.onnx")
    return sherpa_onnx.OfflineRecognizer.from_zipformer_ctc(
        tokens=tokens, model=model, feature_dim=BANDS, num_threads=1, **settings
    )


@pytest.fixture(scope="session")
def online_tones(tiny):
    return online(tiny)


@pytest.fixture(scope="session")
def endpoint_tones(tiny):
    """It finds an endpoint after 0.4 s of silence that follows a tone."""
    return online(tiny, enable_endpoint_detection=True, rule2_min_trailing_silence=0.4)


@pytest.fixture(scope="session")
def offline_tones(tiny):
    return offline(tiny)


@pytest.fixture(scope="session")
def digits_clean():
    """The folder of a recogniser of the project's own, trained on clean spoken digits."""
    return Path(__file__).parents[2] / "assets/recognizers/digits-clean"


@pytest.fixture(scope="session")
def online_digits(digits_clean):
    return online(digits_clean)


@pytest.fixture(scope="session")
def endpoint_digits(digits_clean):
    """It finds an endpoint after 1.2 s of silence that follows a word."""
    return online(digits_clean, enable_endpoint_detection=True, rule2_min_trailing_silence=1.2)


@pytest.fixture(scope="session")
def offline_digits(digits_clean):
    return offline(digits_clean)


@pytest.fixture(scope="session")
def keyword_spotter(tiny):
    """It waits for a low tone that a middle one follows."""
    (tiny / "keywords.txt").write_text("▁low ▁mid @LOW_MID\n", encoding="utf-8")
    return sherpa_onnx.KeywordSpotter(
        tokens=str(tiny / "tokens.txt"),
        encoder=save(tiny / "encoder.onnx", ENCODER, ENCODER_METADATA),
        decoder=save(tiny / "decoder.onnx", DECODER, {"vocab_size": 4, "context_size": 2}),
        joiner=save(tiny / "joiner.onnx", JOINER),
        keywords_file=str(tiny / "keywords.txt"),
        num_threads=1,
        feature_dim=BANDS,
    )


@pytest.fixture(scope="session")
def speaker_extractor(tiny):
    model = save(tiny / "speaker.onnx", SPEAKER, SPEAKER_METADATA)
    return sherpa_onnx.SpeakerEmbeddingExtractor(sherpa_onnx.SpeakerEmbeddingExtractorConfig(model=model))


@pytest.fixture(scope="session")
def tagger(tiny):
    (tiny / "labels.csv").write_text(TAG_LABELS, encoding="utf-8")
    model = sherpa_onnx.AudioTaggingModelConfig(ced=save(tiny / "tags.onnx", TAGS))
    return sherpa_onnx.AudioTagging(sherpa_onnx.AudioTaggingConfig(model=model, labels=str(tiny / "labels.csv")))


@pytest.fixture(scope="session")
def language_identifier(tiny):
    whisper = sherpa_onnx.SpokenLanguageIdentificationWhisperConfig(
        encoder=save(tiny / "whisper_encoder.onnx", WHISPER_ENCODER, WHISPER_ENCODER_METADATA),
        decoder=save(tiny / "whisper_decoder.onnx", WHISPER_DECODER),
    )
    return sherpa_onnx.SpokenLanguageIdentification(sherpa_onnx.SpokenLanguageIdentificationConfig(whisper=whisper))


@pytest.fixture(scope="session", params=["silero 4", "silero 5", "ten"])
def vad_config(request, tiny):
    """Detectors by loudness, for each of the contracts that sherpa-onnx knows."""
    durations = {"min_silence_duration": 0.3, "min_speech_duration": 0.1}
    if request.param == "ten":
        model = save(tiny / "ten.onnx", VAD_TEN, VAD_TEN_METADATA)
        return sherpa_onnx.VadModelConfig(ten_vad=sherpa_onnx.TenVadModelConfig(model=model, **durations))
    model = save(tiny / f"{request.param}.onnx", VAD_4 if request.param == "silero 4" else VAD_5)
    return sherpa_onnx.VadModelConfig(silero_vad=sherpa_onnx.SileroVadModelConfig(model=model, **durations))


@pytest.fixture
def tone():
    """A function: names of tones, or None for silence, 0.4 s each, at some rate -> samples."""

    def make(names, rate):
        time_s = np.arange(int(0.4 * rate)) / rate
        parts = [0.3 * np.sin(2 * np.pi * TONES_HZ[name] * time_s) if name else 0 * time_s for name in names]
        return np.concatenate(parts).astype(np.float32)

    return make
