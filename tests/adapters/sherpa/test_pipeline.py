"""Pipelines from files, in the real sherpa-onnx: online with endpoints, offline, and behind a detector."""

import dataclasses

import numpy as np
import onnx
import onnx.parser
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend import AudioFormatError, ConfigError, ModelError
from gtcrn_frontend.adapters.sherpa.pipeline import Pipeline, load_pipeline

# strength 0: the tones reach the recogniser as they are, through all of the front-end
FRONTEND = {"strength": 0}
ENDPOINT = {"rule2_min_trailing_silence": 0.4}
# the names are right, but windows of 512 samples do not fit
VAD_4_FOR_OTHER_WINDOWS = """<ir_version: 8, opset_import: ["" : 13]>
vad (float[1, 77] input, int64[1] sr, float[2, 1, 64] h, float[2, 1, 64] c)
   => (float[1, 1] output, float[2, 1, 64] hn, float[2, 1, 64] cn)
{
    output = ReduceMax<axes = [1]>(input)
    hn = Identity(h)
    cn = Identity(c)
}"""
UTTERANCE = ["low", "mid", None, None, None, "high", None]


@pytest.fixture(scope="module")
def write(tiny, tmp_path_factory):
    """A function: kind of recogniser, other sections -> path of a pipeline file."""

    def write(kind, **sections):
        factory = {
            "online": "OnlineRecognizer.from_zipformer2_ctc",
            "offline": "OfflineRecognizer.from_zipformer_ctc",
        }[kind]
        files = {"model": str(tiny / f"{kind}.onnx"), "tokens": str(tiny / "tokens.txt")}
        path = tmp_path_factory.mktemp("pipelines") / "pipeline.yaml"
        recognizer = {
            "factory": factory,
            "feature_dim": 40,
            "num_threads": 1,
            **files,
            **sections.pop("recognizer", {}),
        }
        path.write_text(yaml.safe_dump({"recognizer": recognizer, **sections}), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="module")
def online(write):
    return load_pipeline(write("online", frontend=FRONTEND, endpoint=ENDPOINT))


@pytest.fixture(scope="module")
def offline(write):
    return load_pipeline(write("offline", frontend=FRONTEND))


@pytest.fixture
def vad_section(vad_config):
    name = "silero_vad" if vad_config.silero_vad.model else "ten_vad"
    model = getattr(vad_config, name)
    keys = ("model", "threshold", "min_silence_duration", "min_speech_duration", "window_size")
    return {name: {key: getattr(model, key) for key in keys}}


def texts(segments, *, final=True):
    return [segment.text for segment in segments if segment.is_final is final]


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
def test_online_gives_a_segment_for_each_utterance(online, tone, rate):
    names = ["low", None, None, None, "mid", "low", None] if rate == 8000 else UTTERANCE  # no high tone below 4 kHz
    result = online.transcribe(tone(names, rate), rate)
    expected = ["low", "mid low"] if rate == 8000 else ["low mid", "high"]
    assert texts(result.segments) == expected
    assert result.text == " ".join(expected)
    assert result.duration_s == pytest.approx(2.8)
    assert [segment.index for segment in result.segments] == [0, 1]


def test_times_are_those_of_the_audio(online, offline, tone):
    """A token is found with the chunk of 40 ms that its tone begins in."""
    for pipeline in (online, online.without_frontend(), offline):
        segments = pipeline.transcribe(tone(UTTERANCE, 16000), 16000).segments
        assert [t for segment in segments for t in segment.tokens] == [" low", " mid", " high"]
        timestamps = [t for segment in segments for t in segment.timestamps]
        np.testing.assert_allclose(timestamps, [0, 0.4, 2.0], atol=0.05)
        assert segments[0].start_s == timestamps[0]
        assert segments[-1].start_s <= timestamps[-1] < segments[-1].end_s <= 2.8
        assert all(segment.confidence is None for segment in segments)  # sherpa-onnx does not say for CTC


@settings(max_examples=10, deadline=None)
@given(cuts=st.lists(st.integers(0, 44800), max_size=12).map(sorted))
def test_chunks_of_any_size_give_the_same_final_results(online, cuts):
    samples = _samples(UTTERANCE)
    assert list(filter(lambda s: s.is_final, online.stream(np.split(samples, cuts), 16000))) == list(
        online.transcribe(samples, 16000).segments
    )


def _samples(names):
    time_s = np.arange(6400) / 16000
    hz = {"low": 250, "mid": 1000, "high": 3500, None: 0}
    return np.concatenate([0.3 * np.sin(2 * np.pi * hz[name] * time_s) for name in names]).astype(np.float32)


def test_partial_results_come_while_audio_arrives(online, tone):
    chunks = iter(np.split(tone(UTTERANCE, 16000), 28))  # 100 ms each
    fed = 0

    def counted():
        nonlocal fed
        for chunk in chunks:
            fed += 1
            yield chunk

    seen = [(segment, fed) for segment in online.stream(counted(), 16000)]
    assert [(segment.text, segment.is_final) for segment, _ in seen] == [
        ("low", False),
        ("low mid", False),
        ("low mid", True),
        ("high", False),
        ("high", True),
    ]
    assert seen[0][1] <= 4  # in the middle of the first tone
    assert seen[2][1] < 20  # before the last tone begins
    assert [segment.index for segment, _ in seen] == [0, 0, 0, 1, 1]


def test_many_signals_at_once_give_what_each_gives_alone(online, offline, tone):
    signals = [tone(names, 16000) for names in (UTTERANCE, ["mid"], [None], ["high", "low"] * 3)]
    signals += [np.empty(0, np.float32), np.zeros(50, np.float32), (tone(["mid"], 16000) * 32767).astype(np.int16)]
    for pipeline in (online, offline):
        alone = [pipeline.transcribe(samples, 16000) for samples in signals]
        assert pipeline.transcribe_many(signals, 16000) == alone
        assert [result.text for result in alone] == [
            "low mid high",
            "mid",
            "",
            " ".join(["high low"] * 3),
            "",
            "",
            "mid",
        ]


def test_offline_gives_one_segment_at_the_end(offline, tone):
    segments = list(offline.stream(np.split(tone(UTTERANCE, 16000), 28), 16000))
    assert [(segment.text, segment.is_final) for segment in segments] == [("low mid high", True)]


@pytest.mark.parametrize("rate", [16000, 48000])
def test_behind_a_detector_each_stretch_of_speech_is_a_segment(write, tone, vad_section, rate):
    pipeline = load_pipeline(write("offline", frontend=FRONTEND, vad=vad_section))
    samples = tone([None, None, "low", "mid", None, None, "high", None, None], rate)
    segments = list(pipeline.stream(np.array_split(samples, 23), rate))
    assert texts(segments) == ["low mid", "high"]
    for segment, (begin_s, end_s) in zip(segments, [(0.8, 1.6), (2.4, 2.8)], strict=True):
        assert begin_s - 0.35 < segment.start_s <= begin_s  # a detector begins a segment a little early
        assert end_s - 0.05 < segment.end_s < end_s + 0.35
        assert segment.timestamps[0] == pytest.approx(begin_s, abs=0.06)
    assert pipeline.without_frontend().transcribe(samples, rate).segments == tuple(segments)


def test_the_last_speech_needs_no_silence_after_it(write, tone, vad_section):
    pipeline = load_pipeline(write("offline", vad=vad_section))
    assert pipeline.transcribe(tone([None, "low", "mid"], 16000), 16000).text == "low mid"
    assert pipeline.transcribe(tone([None], 16000), 16000).segments == ()


def test_the_route_reaches_the_detector(write, tone, vad_section):
    """The network takes a tone for noise: only where the recogniser hears it raw, the text stays."""
    samples = tone([None, "low", "mid", "high", "mid", "low", None, None], 16000)
    heard = {}
    for route in ("enhanced_to_vad_raw_to_asr", "raw_to_vad_enhanced_to_asr", "raw_to_both"):
        pipeline = load_pipeline(write("offline", frontend={"strength": 1}, vad={**vad_section, "route": route}))
        session = pipeline.session(16000)
        session.accept_waveform(samples)
        session.input_finished()
        heard[route] = pipeline.decode([session])[0]
    raw, enhanced = heard["raw_to_both"], heard["raw_to_vad_enhanced_to_asr"]
    assert {s.start_s for s in enhanced} <= {s.start_s for s in raw}  # where nothing is left there is no text either
    assert texts(raw) == ["low mid high mid low"]
    assert texts(raw) != texts(enhanced)


def test_the_frontend_reaches_the_recogniser(write, tone):
    """At full strength a tone that goes on is noise to the network: the last of it is gone."""
    pipeline = load_pipeline(write("online", frontend={"strength": 1}))
    samples = np.concatenate([tone(["low"] * 10, 16000)])
    assert pipeline.without_frontend().transcribe(samples, 16000).text == "low"
    assert "FrontendRecognizer" in type(pipeline.recognizer).__name__
    stream = pipeline.recognizer.create_stream()
    assert stream.strength == 1
    stream.accept_waveform(16000, samples)
    bare = pipeline.without_frontend().recognizer.create_stream()
    bare.accept_waveform(16000, samples)
    frames = [np.array(each.get_frames(300, 50)) for each in (stream, bare)]
    assert frames[0].mean() < frames[1].mean() - 1


def test_without_frontend_shares_the_recogniser(online):
    bare = online.without_frontend()
    assert bare.recognizer is not online.recognizer
    assert bare.without_frontend().recognizer is bare.recognizer
    assert bare.config == dataclasses.replace(online.config, frontend=None)
    assert bare.is_online and online.is_online


def test_hotwords_reach_a_transducer(tiny, keyword_spotter, write, tone, tmp_path):
    """One that weighs more than what is heard is heard in place of it."""
    tokens, words = tmp_path / "tokens.txt", tmp_path / "words.txt"
    tokens.write_text("<blk> 0\nlow 1\nmid 2\nhigh 3\n", encoding="utf-8")
    words.write_text("mid\n", encoding="utf-8")
    files = {name: str(tiny / f"{name}.onnx") for name in ("encoder", "decoder", "joiner")}
    recognizer = {
        "factory": "OnlineRecognizer.from_transducer",
        "decoding_method": "modified_beam_search",
        "feature_dim": 40,
        "tokens": str(tokens),
        **files,
    }
    path = write("online")

    def heard(**sections):
        path.write_text(yaml.safe_dump({"recognizer": recognizer, **sections}), encoding="utf-8")
        (segment,) = load_pipeline(path).transcribe(tone(["low", None], 16000), 16000).segments
        return segment

    assert heard().text == "low"
    assert 0 < heard().confidence <= 1
    assert heard(hotwords={"phrases": ["mid"], "score": 99}).text.startswith("mid")
    assert heard(hotwords={"file": str(words), "score": 99}).text.startswith("mid")
    assert heard(hotwords={"phrases": ["high", "mid"], "score": 0}).text == "low"


@pytest.mark.parametrize("kind", ["online", "offline"])
@pytest.mark.parametrize("bad", [np.array([np.nan]), np.array([1000.0]), np.zeros((4, 2)), "text", [[1.0], []]])
@pytest.mark.parametrize("has_frontend", [True, False])
def test_samples_that_are_no_audio(online, offline, kind, bad, has_frontend):
    pipeline = {"online": online, "offline": offline}[kind]
    with pytest.raises(AudioFormatError):
        (pipeline if has_frontend else pipeline.without_frontend()).transcribe(bad, 16000)


@pytest.mark.parametrize("rate", [0, 7999, 192001, 16000.5, "16000", None])
def test_rates_that_are_none(online, offline, rate):
    for pipeline in (online, online.without_frontend(), offline):
        with pytest.raises(AudioFormatError, match="sample rate"):
            pipeline.session(rate)


def test_what_would_end_the_process_is_an_error_that_names_the_file(write, tiny, tmp_path):
    (tmp_path / "tokens.txt").write_text("low 0\nmid 1\n", encoding="utf-8")
    for change in (
        {"tokens": str(tmp_path / "tokens.txt")},
        {"model": str(tiny / "offline.onnx")},
        {"feature_dim": 80},
    ):
        with pytest.raises(ModelError, match=r"pipeline\.yaml: "):
            load_pipeline(write("online", recognizer=change))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"encoder": "online.onnx"}, r"exit code -\d+.*Unknown model type"),  # its metadata are those of another kind
        ({"joiner": "tokens.txt"}, r"exit code 1.*Protobuf parsing failed"),
    ],
)
def test_a_factory_without_a_known_contract_is_tried_in_a_child(tiny, keyword_spotter, write, change, said):
    names = {"encoder": "encoder.onnx", "decoder": "decoder.onnx", "joiner": "joiner.onnx", "tokens": "tokens.txt"}
    files = {key: str(tiny / name) for key, name in (names | change).items()}
    path = write("online")
    sections = {"recognizer": {"factory": "OnlineRecognizer.from_transducer", "feature_dim": 40, **files}}
    path.write_text(yaml.safe_dump(sections), encoding="utf-8")
    with pytest.raises(ModelError, match=rf"pipeline\.yaml: OnlineRecognizer\.from_transducer fails .*{said}"):
        load_pipeline(path)


def test_a_detector_of_another_kind(write, tiny):
    with pytest.raises(ModelError, match="Silero"):
        load_pipeline(write("offline", vad={"silero_vad": {"model": str(tiny / "online.onnx")}}))


def test_a_frontend_that_cannot_be_loaded(write):
    with pytest.raises(ModelError, match=r"pipeline\.yaml: .*gtcrn-xyz"):
        load_pipeline(write("online", frontend={"model": "gtcrn-xyz"}))


def test_a_file_with_a_mistake(write):
    with pytest.raises(ConfigError, match=r"pipeline\.yaml: recognizer: .*'feature_dims'"):
        load_pipeline(write("online", recognizer={"feature_dims": 40}))


class Failing:
    """A real recogniser, but for one method."""

    def __init__(self, host):
        self._host = host

    def __getattr__(self, name):
        return getattr(self._host, name)

    def decode_streams(self, streams):
        raise RuntimeError("Got invalid dimensions")


def test_a_failure_while_decoding_is_an_error(online, online_tones, tone):
    pipeline = Pipeline(online.config, Failing(online_tones))
    with pytest.raises(ModelError, match=r"Got invalid dimensions.*belong together"):
        pipeline.transcribe(tone(["low"], 16000), 16000)


def test_a_detector_that_fails_on_audio_is_an_error(write, tmp_path, tone):
    onnx.save(onnx.parser.parse_model(VAD_4_FOR_OTHER_WINDOWS), tmp_path / "vad.onnx")
    pipeline = load_pipeline(write("offline", vad={"silero_vad": {"model": str(tmp_path / "vad.onnx")}}))
    with pytest.raises(ModelError, match="fails on this audio"):
        pipeline.transcribe(tone(["low"], 16000), 16000)


def test_a_ten_vad_is_tried_in_a_child(write, tiny):
    with pytest.raises(ModelError, match=r"pipeline\.yaml: ten_vad fails with these models \(exit code -?\d+\)"):
        load_pipeline(write("offline", vad={"ten_vad": {"model": str(tiny / "offline.onnx")}}))
