"""What the contract check refuses fails in the real sherpa-onnx, and what it accepts runs there."""

import json
import subprocess
import sys

import onnx
import onnxruntime
import pytest

from gtcrn_frontend import ModelError
from gtcrn_frontend.adapters.sherpa.model_check import (
    COUNTS,
    LISTS,
    check_model,
    check_offline_ctc,
    check_online_ctc,
    check_silero_vad,
)
from gtcrn_frontend.adapters.sherpa.tokens import check_ctc_tokens, read_tokens

BANDS = 40
CHECKS = {"online": check_online_ctc, "offline": check_offline_ctc}

# Two streams at once, as batches find more than single ones do; exit code 0 if all goes well.
HOST = """
import json, sys
import numpy as np
import sherpa_onnx

for kind, model, tokens, bands in json.loads(sys.argv[1]):
    common = dict(model=model, tokens=tokens, feature_dim=bands, num_threads=1)
    if kind == "online":
        recognizer = sherpa_onnx.OnlineRecognizer.from_zipformer2_ctc(**common)
    else:
        recognizer = sherpa_onnx.OfflineRecognizer.from_zipformer_ctc(**common)
    streams = [recognizer.create_stream() for _ in range(2)]
    time_s = np.arange(6400) / 16000
    samples = np.concatenate([0.3 * np.sin(2 * np.pi * hz * time_s) for hz in (250, 1000, 3500)])
    for stream in streams:
        stream.accept_waveform(16000, samples.astype(np.float32))
    if kind == "online":
        streams[0].input_finished(), streams[1].input_finished()
        while recognizer.is_ready(streams[0]):
            recognizer.decode_streams(streams)
        recognizer.get_result(streams[0])
    else:
        recognizer.decode_streams(streams)
        streams[0].result.text
"""


def host(*cases):
    """The finished process of the real sherpa-onnx with (kind, model, tokens, bands), one after the other."""
    named = [(kind, str(model), str(tokens), bands) for kind, model, tokens, bands in cases]
    command = [sys.executable, "-c", HOST, json.dumps(named)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def assert_host_ends(*case):
    """Not by an exception, which could be caught."""
    done = host(case)
    assert done.returncode not in (0, 1), done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def changed(tiny, tmp_path):
    """A function: kind of model, and a function that changes it -> path of the changed copy."""

    def change(kind, edit):
        model = onnx.load(tiny / f"{kind}.onnx")
        edit(model)
        onnx.save(model, tmp_path / "changed.onnx")
        return tmp_path / "changed.onnx"

    return change


def with_metadata(**values):
    """An edit; None removes an entry."""

    def edit(model):
        metadata = {entry.key: entry.value for entry in model.metadata_props} | values
        del model.metadata_props[:]
        onnx.helper.set_model_props(model, {key: value for key, value in metadata.items() if value is not None})

    return edit


def test_good_models_are_accepted_and_run(tiny, tmp_path):
    cases = [(kind, tiny / f"{kind}.onnx", tiny / "tokens.txt", BANDS) for kind in CHECKS]
    texts = {
        "eps": "<eps> 0\n▁low 1\n▁mid 2\n▁high 3\n",
        "blank last": "▁low 1\n▁mid 2\n▁high 3\n<blank> 0\n",
        "windows": "<blk> 0\r\n▁low 1\r\n▁mid 2\r\n▁high 3\r\n",
        "with a space": "<blk> 0\n 1\n▁mid 2\n▁high 3\n",
        "more symbols than outputs": "<blk> 0\n▁low 1\n▁mid 2\n▁high 3\n#0 4\n#1 5\n",
        "empty line at the end": "<blk> 0\n▁low 1\n▁mid 2\n▁high 3\n\n",
    }
    for name, text in texts.items():
        tokens = tmp_path / f"{name}.txt"
        tokens.write_bytes(text.encode())
        cases.append(("online", tiny / "online.onnx", tokens, BANDS))
    for kind, model, tokens, bands in cases:
        CHECKS[kind](model, tokens, bands)
    done = host(*cases)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("kind", CHECKS)
def test_a_vocabulary_that_the_model_does_not_tell(tiny, changed, kind):
    def edit(model):
        model.graph.output[0].type.tensor_type.shape.dim[2].dim_param = "V"

    case = (changed(kind, edit), tiny / "tokens.txt", BANDS)
    CHECKS[kind](*case)
    assert host((kind, *case)).returncode == 0


@pytest.mark.parametrize("kind", CHECKS)
def test_the_projects_own_recogniser_is_accepted(digits_clean, kind):
    CHECKS[kind](digits_clean / f"{kind}.onnx", digits_clean / "tokens.txt", BANDS)


@pytest.mark.parametrize("name", [*LISTS, *COUNTS])
def test_missing_metadata(tiny, changed, name):
    model = changed("online", with_metadata(**{name: None}))
    with pytest.raises(ModelError, match=rf"changed\.onnx.*{name} missing"):
        check_online_ctc(model, tiny / "tokens.txt", BANDS)
    assert_host_ends("online", model, tiny / "tokens.txt", BANDS)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"encoder_dims": "four"}, "whole numbers.*'four'"),
        ({"T": "-1"}, "whole number.*'-1'"),
        ({"num_encoder_layers": "2"}, "15 inputs"),
    ],
)
def test_metadata_that_ends_the_process(tiny, changed, metadata, said):
    model = changed("online", with_metadata(**metadata))
    with pytest.raises(ModelError, match=said):
        check_online_ctc(model, tiny / "tokens.txt", BANDS)
    assert_host_ends("online", model, tiny / "tokens.txt", BANDS)


@pytest.mark.parametrize(
    ("metadata", "said"),
    [
        ({"T": "17"}, "input 1 as float .N, 17, 40."),
        ({"T": "0"}, "decode_chunk_len <= T"),
        ({"decode_chunk_len": "17"}, "decode_chunk_len <= T"),
        ({"decode_chunk_len": "0"}, "decode_chunk_len <= T"),
        ({"query_head_dims": "7"}, "input 2 as float .1, N, 7."),
        ({"value_head_dims": "2"}, "input 4"),
        ({"encoder_dims": "8"}, "input 3"),
        ({"cnn_module_kernels": "5"}, "input 6"),
        ({"left_context_len": "2"}, "input 2"),
        ({"num_encoder_layers": "0"}, "at least one layer"),
        ({"num_heads": "1,1"}, "as many entries"),
    ],
)
def test_metadata_that_does_not_fit_the_graph(tiny, changed, metadata, said):
    with pytest.raises(ModelError, match=said):
        check_online_ctc(changed("online", with_metadata(**metadata)), tiny / "tokens.txt", BANDS)


@pytest.mark.parametrize("kind", CHECKS)
def test_an_output_that_is_missing(tiny, changed, kind):
    model = changed(kind, lambda model: model.graph.output.pop())
    with pytest.raises(ModelError, match="outputs"):
        CHECKS[kind](model, tiny / "tokens.txt", BANDS)
    assert_host_ends(kind, model, tiny / "tokens.txt", BANDS)


def test_outputs_in_another_order(tiny, changed):
    def edit(model):
        outputs = list(model.graph.output)
        del model.graph.output[:]
        model.graph.output.extend([outputs[1], outputs[0], *outputs[2:]])

    with pytest.raises(ModelError, match="output"):
        check_online_ctc(changed("online", edit), tiny / "tokens.txt", BANDS)


@pytest.mark.parametrize("kind", CHECKS)
def test_logits_without_a_dimension_for_the_vocabulary(tiny, changed, kind):
    def edit(model):
        del model.graph.output[0].type.tensor_type.shape.dim[2:]

    with pytest.raises(ModelError, match="vocabulary"):
        CHECKS[kind](changed(kind, edit), tiny / "tokens.txt", BANDS)


@pytest.mark.parametrize("kind", CHECKS)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a 0\n▁low 1\n▁mid 2\n▁high 3\n", "blank"),
        ("<blk> 0 1\n▁low 1\n▁mid 2\n▁high 3\n", "line 1: expected a symbol and its id"),
        ("\ufeff<blk> 0\n▁low 1\n▁mid 2\n▁high 3\n", "byte order mark"),
        ("", "empty"),
    ],
)
def test_tokens_that_end_the_process(tiny, tmp_path, kind, text, said):
    tokens = tmp_path / "tokens.txt"
    tokens.write_text(text, encoding="utf-8")
    with pytest.raises(ModelError, match=rf"tokens\.txt.*{said}"):
        CHECKS[kind](tiny / f"{kind}.onnx", tokens, BANDS)
    assert_host_ends(kind, tiny / f"{kind}.onnx", tokens, BANDS)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<blk> 0\n▁low 1\n▁mid 2\n", "0 to 3 .*, 3 missing"),
        ("<blk> 0\n▁low 1\n▁mid 2\n▁high 7\n", "3 missing"),
        ("<blk> 0\n▁low 1\n▁mid 1\n▁high 3\n", "line 3: expected every id once"),
        ("a 0\n▁low 1\n▁mid 2\n▁high 3\n<blk> 4\n", "blank among the model's outputs"),
        ("<blk>\n▁low\n▁mid\n▁high\n", "line 1"),
    ],
)
def test_tokens_of_another_model(tiny, tmp_path, text, said):
    tokens = tmp_path / "tokens.txt"
    tokens.write_text(text, encoding="utf-8")
    for kind, check in CHECKS.items():
        with pytest.raises(ModelError, match=said):
            check(tiny / f"{kind}.onnx", tokens, BANDS)


def test_gaps_in_the_ids_without_a_known_vocabulary(tmp_path):
    (tmp_path / "tokens.txt").write_text("<blk> 0\na 2\n", encoding="utf-8")
    with pytest.raises(ModelError, match="without gaps, 1 missing"):
        check_ctc_tokens(tmp_path / "tokens.txt", None)


def test_the_ids_that_are_missing_are_counted(tmp_path):
    (tmp_path / "tokens.txt").write_text("<blk> 0\n", encoding="utf-8")
    with pytest.raises(ModelError, match="1, 2, 3, 4, 5 and 94 more are missing"):
        check_ctc_tokens(tmp_path / "tokens.txt", 100)


def test_a_symbol_may_be_any_character(tmp_path):
    (tmp_path / "tokens.txt").write_text("<blk> 0\n1\n\u3000 2\n\u2028 3\n\x85 4\n5 5\n", encoding="utf-8")
    assert read_tokens(tmp_path / "tokens.txt") == {0: "<blk>", 1: " ", 2: "\u3000", 3: "\u2028", 4: "\x85", 5: "5"}


@pytest.mark.parametrize("kind", CHECKS)
def test_another_number_of_bands(tiny, kind):
    with pytest.raises(ModelError, match=r"input 1 as float .N, (16|T), 80."):
        CHECKS[kind](tiny / f"{kind}.onnx", tiny / "tokens.txt")


def test_one_kind_of_model_for_the_other(tiny):
    with pytest.raises(ModelError, match="for streaming"):
        check_online_ctc(tiny / "offline.onnx", tiny / "tokens.txt", BANDS)
    assert_host_ends("online", tiny / "offline.onnx", tiny / "tokens.txt", BANDS)
    with pytest.raises(ModelError, match="streaming model"):
        check_offline_ctc(tiny / "online.onnx", tiny / "tokens.txt", BANDS)


def test_files_that_are_no_models(tiny, tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no graph at all")
    for model in (tmp_path / "model.onnx", tmp_path / "missing.onnx", tmp_path):
        with pytest.raises(ModelError, match="ONNX Runtime loads"):
            check_online_ctc(model, tiny / "tokens.txt", BANDS)
    for tokens in (tmp_path / "missing.txt", tmp_path, tiny / "online.onnx"):
        with pytest.raises(ModelError, match=r"cannot be read|UTF-8"):
            check_online_ctc(tiny / "online.onnx", tokens, BANDS)


def test_factories_are_known_by_name(tiny):
    arguments = {"model": str(tiny / "offline.onnx"), "tokens": str(tiny / "tokens.txt"), "feature_dim": BANDS}
    check_model("OfflineRecognizer.from_zipformer_ctc", arguments)
    with pytest.raises(ModelError):
        check_model("OnlineRecognizer.from_zipformer2_ctc", arguments)


def test_detectors(vad_config, tiny):
    model = vad_config.silero_vad.model
    if model:
        check_silero_vad(model)
        check_silero_vad(model, 512)
        if len(onnxruntime.InferenceSession(model).get_inputs()) == 3:  # version 5
            with pytest.raises(ModelError, match="window_size 512"):
                check_silero_vad(model, 256)
    for other in filter(None, (vad_config.ten_vad.model, str(tiny / "online.onnx"))):
        with pytest.raises(ModelError, match="Silero"):
            check_silero_vad(other)
