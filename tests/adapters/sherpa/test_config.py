"""Pipeline files, against the real signatures of sherpa-onnx."""

import inspect
import sys

import pytest
import yaml

from gtcrn_frontend import ConfigError, EnhancerConfig
from gtcrn_frontend.adapters.sherpa.config import PipelineConfig
from gtcrn_frontend.adapters.sherpa.factory_args import FILE_LISTS, FILES, FOLDERS, factory, factory_names

ONLINE = "OnlineRecognizer.from_zipformer2_ctc"
OFFLINE = "OfflineRecognizer.from_zipformer_ctc"
TRANSDUCER = "OnlineRecognizer.from_transducer"

# Arguments of text that name nothing on the disk. An argument in neither list is new in sherpa-onnx: sort it.
WORDS = {
    *("decoding_method", "language", "model_type", "modeling_unit", "provider", "src_lang", "system_prompt", "task"),
    *("tgt_lang", "user_prompt", "hotwords", "trt_engine_cache_path", "trt_timing_cache_path"),
}


@pytest.fixture
def folder(tiny, tmp_path):
    """A folder with models, and others' files that only have to be there."""
    for name in ("online.onnx", "offline.onnx", "tokens.txt"):
        (tmp_path / name).write_bytes((tiny / name).read_bytes())
    for name in ("encoder.onnx", "decoder.onnx", "joiner.onnx", "a.fst", "b.fst", "words.txt", "vad.onnx"):
        (tmp_path / name).write_text("not looked into")
    (tmp_path / "empty.txt").touch()
    return tmp_path


@pytest.fixture
def online():
    return {"factory": ONLINE, "model": "online.onnx", "tokens": "tokens.txt", "feature_dim": 40}


@pytest.fixture
def offline():
    return {"factory": OFFLINE, "model": "offline.onnx", "tokens": "tokens.txt", "feature_dim": 40}


@pytest.fixture
def transducer():
    files = {name: f"{name}.onnx" for name in ("encoder", "decoder", "joiner")}
    return {"factory": TRANSDUCER, "tokens": "tokens.txt", **files, "decoding_method": "modified_beam_search"}


def load(folder, sections):
    path = folder / "pipeline.yaml"
    path.write_text(yaml.safe_dump(sections, allow_unicode=True), encoding="utf-8")
    return PipelineConfig.from_yaml(path)


def test_a_whole_file(folder, online):
    config = load(
        folder,
        {
            "frontend": {"strength": 0.7, "engine": "onnx"},
            "recognizer": {**online, "num_threads": 1, "rule_fsts": "a.fst,b.fst", "debug": False},
            "endpoint": {"rule2_min_trailing_silence": 1},
        },
    )
    assert config.frontend == EnhancerConfig(strength=0.7, engine="onnx")
    assert config.factory == ONLINE
    assert config.arguments == {
        "model": str(folder / "online.onnx"),
        "tokens": str(folder / "tokens.txt"),
        "feature_dim": 40,
        "num_threads": 1,
        "rule_fsts": f"{folder / 'a.fst'},{folder / 'b.fst'}",
        "debug": False,
        "enable_endpoint_detection": True,
        "rule2_min_trailing_silence": 1.0,
    }
    assert (config.vad, config.hotwords) == (None, "")


def test_paths_begin_at_the_file_and_absolute_ones_stay(folder, online, monkeypatch):
    monkeypatch.chdir("/")
    online["tokens"] = str(folder / "tokens.txt")
    config = load(folder, {"recognizer": online})
    assert config.arguments["model"] == str(folder / "online.onnx")
    assert config.arguments["tokens"] == str(folder / "tokens.txt")


def test_a_path_that_was_given_as_relative_becomes_absolute(folder, online, monkeypatch):
    monkeypatch.chdir(folder)
    assert PipelineConfig.from_dict({"recognizer": online}).arguments["model"] == str(folder / "online.onnx")


def test_all_relative_paths_start_at_the_file(folder, online, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    config = load(folder, {"recognizer": online | {"tokens": "~/tokens.txt"}, "frontend": {"model": "models/a.tar"}})
    assert config.frontend.model == str(folder / "models/a.tar")
    assert config.arguments["tokens"] == str(folder / "tokens.txt")


@pytest.mark.parametrize("frontend", [None, False])
def test_without_a_frontend(folder, online, frontend):
    assert load(folder, {"recognizer": online, "frontend": frontend}).frontend is None


def test_a_frontend_in_a_file_of_its_own(folder, online):
    EnhancerConfig(strength=0.4).to_yaml(folder / "frontend.yaml")
    sections = {"recognizer": online, "frontend": "frontend.yaml"}
    assert load(folder, sections).frontend == EnhancerConfig(strength=0.4), "paths begin at the pipeline file"
    with pytest.raises(ConfigError, match=r"frontend: .*absent\.yaml: expected a YAML file of settings"):
        load(folder, {**sections, "frontend": "absent.yaml"})


def test_a_frontend_of_defaults(folder, online):
    assert load(folder, {"recognizer": online, "frontend": True}).frontend == EnhancerConfig()


def test_endpoints_of_defaults(folder, online):
    assert load(folder, {"recognizer": online, "endpoint": True}).arguments["enable_endpoint_detection"] is True
    assert "enable_endpoint_detection" not in load(folder, {"recognizer": online, "endpoint": False}).arguments


def test_hotwords_from_a_file(folder, transducer):
    config = load(folder, {"recognizer": transducer, "hotwords": {"file": "words.txt", "score": 2}})
    assert config.arguments["hotwords_file"] == str(folder / "words.txt")
    assert config.arguments["hotwords_score"] == 2.0
    assert config.hotwords == ""


def test_hotwords_as_phrases(folder, transducer):
    config = load(folder, {"recognizer": transducer, "hotwords": {"phrases": ["▁low ▁mid", "▁high"]}})
    assert config.hotwords == "▁low ▁mid/▁high"
    assert "hotwords_file" not in config.arguments


def test_a_detector(folder, offline):
    vad = {"silero_vad": {"model": "vad.onnx", "threshold": 0.4, "max_speech_duration": 8}, "num_threads": 2}
    route = "enhanced_to_vad_raw_to_asr"
    config = load(folder, {"recognizer": offline, "vad": {**vad, "route": route}, "frontend": True}).vad
    assert config.settings == {"model": str(folder / "vad.onnx"), "threshold": 0.4, "max_speech_duration": 8.0}
    assert (config.model, config.common, config.route) == ("silero_vad", {"num_threads": 2}, route)


WRONG = [
    # what is wrong; what has to be said of it
    ({"recogniser": {}}, "unknown 'recogniser': did you mean 'recognizer'"),
    ({"recognizer": None}, "recognizer: expected a factory .*, got None"),
    ({"recognizer": False}, "recognizer: expected a factory .*, got None"),
    ({"recognizer": "online"}, "recognizer: expected a factory .*, got 'online'"),
    ({"recognizer": {"model": "online.onnx"}}, "recognizer: factory: expected the name of one"),
    ({"recognizer": {"factory": "OnlineRecognizer.from_zipformer_ctc"}}, f"did you mean '{ONLINE}'"),
    ({"recognizer": {"factory": "VoiceActivityDetector.create"}}, "unknown 'VoiceActivityDetector.create'"),
    ({"recognizer": {"factory": "OnlineRecognizer.decode_stream"}}, "unknown 'OnlineRecognizer.decode_stream'"),
    ({"recognizer": {"factory": ONLINE}}, "expected the arguments tokens, model of"),
    (
        {"recognizer": {"factory": TRANSDUCER, "tokens": "tokens.txt"}},
        "arguments encoder, decoder, joiner",
    ),
    ({"+recognizer": {"featuredim": 40}}, "unknown 'featuredim': did you mean 'feature_dim'"),
    ({"+recognizer": {"hotwords_file": "words.txt"}}, "unknown 'hotwords_file'"),
    ({"+recognizer": {1: 2}}, "unknown 1"),
    ({"+recognizer": {"feature_dim": "40"}}, "feature_dim: expected a whole number, got '40'"),
    ({"+recognizer": {"feature_dim": 40.5}}, "feature_dim: expected a whole number, got 40.5"),
    ({"+recognizer": {"feature_dim": True}}, "feature_dim: expected a whole number, got True"),
    ({"+recognizer": {"feature_dim": 0}}, "feature_dim: expected at least 1, got 0"),
    ({"+recognizer": {"num_threads": -1}}, "num_threads: expected at least 1, got -1"),
    ({"+recognizer": {"sample_rate": 4000}}, "sample_rate: expected at least 8000, got 4000"),
    (
        {"endpoint": {"rule1_min_trailing_silence": float("nan")}},
        "rule1_min_trailing_silence: expected a number, got nan",
    ),
    ({"+recognizer": {"debug": 1}}, "debug: expected true or false, got 1"),
    ({"+recognizer": {"debug": "yes"}}, "debug: expected true or false, got 'yes'"),
    ({"+recognizer": {"sample_rate": "16k"}}, "sample_rate: expected a number, got '16k'"),
    ({"+recognizer": {"provider": False}}, "provider: expected text, got False: put it in quotes"),
    ({"+recognizer": {"model": ["online.onnx"]}}, r"model: expected text, got \['online.onnx'\]$"),
    ({"+recognizer": {"decoding_method": "beam"}}, "decoding_method: expected greedy_search for .*, got 'beam'"),
    ({"+recognizer": {"decoding_method": "modified_beam_search"}}, "decoding_method: expected greedy_search for"),
    (
        {"+recognizer": {"model": "nothing.onnx"}},
        "model: expected a file, found nothing there: .*nothing.onnx; paths are rel",
    ),
    ({"+recognizer": {"model": "."}}, "model: expected a file, found a folder"),
    ({"+recognizer": {"tokens": "empty.txt"}}, "tokens: expected a file with content"),
    ({"+recognizer": {"tokens": "a\0b"}}, "tokens: expected a file"),
    ({"+recognizer": {"rule_fsts": "a.fst,c.fst"}}, "rule_fsts: expected a file, found nothing there: .*c.fst"),
    ({"+recognizer": {"hr_dict_dir": "a.fst"}}, "hr_dict_dir: expected a folder, found a file"),
    ({"frontend": {"strenght": 1}}, "frontend: .*unknown 'strenght': did you mean 'strength'"),
    ({"frontend": {"strength": 2}}, "frontend: strength: expected"),
    ({"frontend": "on"}, "frontend: .*on: expected a YAML file of settings"),
    ({"frontend": {"sample_rate": 48000}}, "frontend: sample_rate: expected none"),
    (
        {"endpoint": {"rule2_silence": 1}},
        "unknown 'rule2_silence': did you mean 'rule2_min_trailing",
    ),
    ({"endpoint": {"rule2_min_trailing_silence": "1"}}, "rule2_min_trailing_silence: expected a number"),
    ({"endpoint": True, "+recognizer": {"enable_endpoint_detection": True}}, "endpoint: .*expected it once"),
    ({"endpoint": "soon"}, "endpoint: expected true, or rules by name"),
    ({"hotwords": {"file": "words.txt"}}, "hotwords: expected the factory of a transducer"),
    ({"hotwords": {"file": "words.txt", "phrases": []}}, "hotwords: expected file or phrases, got both"),
    ({"hotwords": {}}, "hotwords: expected file or phrases"),
    ({"hotwords": {"words": []}}, "hotwords: .*unknown 'words'"),
    ({"vad": {"silero_vad": {"model": "vad.onnx"}}}, "vad: expected an OfflineRecognizer behind it, got OnlineRec"),
]


@pytest.mark.parametrize(("change", "said"), WRONG, ids=lambda value: value if isinstance(value, str) else "")
def test_what_is_wrong_is_said_with_file_and_key(folder, online, change, said):
    online |= change.get("+recognizer", {})
    sections = {"recognizer": online} | {key: value for key, value in change.items() if key != "+recognizer"}
    with pytest.raises(ConfigError, match=rf"pipeline\.yaml: .*{said}"):
        load(folder, sections)


@pytest.mark.parametrize(
    ("vad", "said"),
    [
        ("silero", "expected settings by name"),
        ({}, "expected one of silero_vad and ten_vad, got none"),
        ({"silero": {}}, "unknown 'silero': did you mean 'silero_vad'"),
        ({"silero_vad": {}, "ten_vad": {}}, "got silero_vad and ten_vad"),
        ({"ten_vad": {"threshold": 0.5}}, "ten_vad: expected settings by name, model among them"),
        ({"silero_vad": {"model": "nothing.onnx"}}, "silero_vad: model: expected a file, found nothing"),
        ({"silero_vad": {"model": "vad.onnx", "treshold": 0.5}}, "unknown 'treshold': did you mean 'threshold'"),
        ({"silero_vad": {"model": "vad.onnx", "threshold": 1}}, "threshold: expected 0.01 to 1, got 1"),
        (
            {"silero_vad": {"model": "vad.onnx", "min_silence_duration": 0}},
            "min_silence_duration: expected more",
        ),
        ({"silero_vad": {"model": "vad.onnx", "window_size": "512"}}, "window_size: expected a whole number"),
        ({"silero_vad": {"model": "vad.onnx"}, "route": "raw"}, "unknown 'raw'"),
        ({"silero_vad": {"model": "vad.onnx"}, "route": "enhanced_to_both_"}, "did you mean 'enhanced_to_both'"),
        ({"silero_vad": {"model": "vad.onnx"}, "sample_rate": 8000}, "unknown 'sample_rate'"),
        ({"silero_vad": {"model": "vad.onnx", "window_size": 0}}, "window_size: expected at least 1"),
        (
            {"silero_vad": {"model": "vad.onnx", "min_speech_duration": float("inf")}},
            "min_speech_duration: expected a num",
        ),
        (
            {"silero_vad": {"model": "vad.onnx"}, "buffer_size_in_seconds": 0},
            "buffer_size_in_seconds: expected at least 1",
        ),
        ({"silero_vad": {"model": "vad.onnx"}, "num_threads": 0}, "num_threads: expected at least 1"),
        ({"silero_vad": {"model": "vad.onnx"}, "route": "raw_to_both"}, "route: expected a section frontend"),
    ],
)
def test_what_is_wrong_with_a_detector(folder, offline, vad, said):
    with pytest.raises(ConfigError, match=rf"pipeline\.yaml: vad: .*{said}"):
        load(folder, {"recognizer": offline, "vad": vad})


def test_endpoints_are_for_online_recognisers(folder, offline):
    with pytest.raises(ConfigError, match=r"endpoint: expected an OnlineRecognizer.*vad"):
        load(folder, {"recognizer": offline, "endpoint": True})


@pytest.mark.parametrize(
    ("change", "hotwords", "said"),
    [
        ({"decoding_method": "greedy_search"}, {"file": "words.txt"}, "decoding_method: modified_beam_search"),
        ({"hotwords_file": "words.txt"}, {"file": "words.txt"}, "hotwords_file: expected it once"),
        ({}, {"file": "nothing.txt"}, "hotwords_file: expected a file, found nothing"),
        ({"modeling_unit": "word"}, {"phrases": ["a"]}, "modeling_unit: expected one of"),
        ({"modeling_unit": "bpe"}, {"phrases": ["a"]}, "bpe_vocab: expected a file for modeling_unit bpe"),
        ({}, {"phrases": "one"}, "phrases: expected a list"),
        ({}, {"phrases": ["a/b"]}, "phrases without slashes"),
        ({}, {"phrases": ["a"], "score": "high"}, "hotwords_score: expected a number"),
    ],
)
def test_what_is_wrong_with_hotwords(folder, transducer, change, hotwords, said):
    with pytest.raises(ConfigError, match=said):
        load(folder, {"recognizer": transducer | change, "hotwords": hotwords})


def test_hotwords_without_the_search_that_knows_them(folder, transducer):
    recognizer = {**transducer, "hotwords_file": "words.txt", "decoding_method": "greedy_search"}
    with pytest.raises(ConfigError, match="hotwords_file: expected decoding_method modified_beam_search"):
        load(folder, {"recognizer": recognizer})


@pytest.mark.parametrize("content", [b"recognizer: [", b"\xff\xfe", b"", b"- a list", b"recognizer"])
def test_files_that_are_no_pipelines(tmp_path, content):
    (tmp_path / "pipeline.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=r"pipeline\.yaml: expected"):
        PipelineConfig.from_yaml(tmp_path / "pipeline.yaml")
    with pytest.raises(ConfigError, match=r"missing\.yaml: expected"):
        PipelineConfig.from_yaml(tmp_path / "missing.yaml")


def test_every_argument_of_sherpa_onnx_that_names_a_file_is_known():
    files, words = set(), set()
    for name in factory_names():
        for key, parameter in inspect.signature(factory(name)).parameters.items():
            if parameter.annotation in (str, "str"):
                (files if key in (*FILES, *FILE_LISTS, *FOLDERS) else words).add(key)
            else:
                assert parameter.annotation in (bool, int, float), f"{name}: {key}"
    assert len(files) > 20
    assert words <= WORDS


def test_a_missing_sherpa_onnx_names_the_extra(folder, online, monkeypatch):
    monkeypatch.setitem(sys.modules, "sherpa_onnx", None)
    with pytest.raises(ImportError, match=r"pip install '[^']+\[sherpa\]'"):
        load(folder, {"recognizer": online})
