import math
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import sherpa_onnx

from gtcrn_frontend import EnhancerConfig
from gtcrn_frontend.adapters.sherpa import with_frontend
from gtcrn_frontend.adapters.sherpa.sessions import OnlineSession, decode
from gtcrn_frontend.adapters.sherpa.transcriber import SherpaRecognizer, confidence_of
from gtcrn_frontend.evaluation.asr.recognizer import Recognizer, Transcript


@pytest.fixture(params=["online", "endpoint", "offline"])
def tones(request):
    return request.getfixturevalue(f"{request.param}_tones")


@pytest.mark.parametrize("rate", [16000, 48000])
@pytest.mark.parametrize("is_wrapped", [False, True])
def test_a_transcript_of_a_whole_utterance(tones, tone, rate, is_wrapped):
    """Also past an endpoint, and to the last token."""
    recognizer: Recognizer = SherpaRecognizer(with_frontend(tones, EnhancerConfig(strength=0)) if is_wrapped else tones)
    transcript = recognizer(tone(["low", None, None, None, "mid", "high"], rate), rate)
    assert transcript == Transcript("low mid high", (" low", " mid", " high"), None)


def test_a_batch_gives_what_each_signal_gives_alone(tones, tone):
    recognizer = SherpaRecognizer(tones)
    names = [["low"], ["high", None, "mid"], [None], ["mid", "low", "high", "low"], [], ["low", "high"]]
    signals = [tone([*each, None], 16000) for each in names] + [np.empty(0, np.float32), np.zeros(99, np.float32)]
    expected = [" ".join(filter(None, each)) for each in names] + ["", ""]
    for batch_size in (1, 3, 16):
        transcripts = recognizer.transcribe_many(signals, 16000, batch_size=batch_size)
        assert [transcript.text for transcript in transcripts] == expected
    assert [recognizer(samples, 16000).text for samples in signals] == expected


def test_a_model_with_long_chunks_hears_the_end(tiny, tmp_path, tone):
    """Up to a chunk of 1.4 s is not decoded before enough silence follows it."""
    conftest = runpy.run_path(str(Path(__file__).with_name("conftest.py")))
    graph = conftest["ONLINE_CTC"].replace("float[N, 16, 40] x", "float[N, 140, 40] x")
    graph = graph.replace("float[N, 4, 4] log_probs", "float[N, 35, 4] log_probs")
    metadata = {**conftest["ONLINE_CTC_METADATA"], "T": 140, "decode_chunk_len": 140}
    recognizer = sherpa_onnx.OnlineRecognizer.from_zipformer2_ctc(
        model=conftest["save"](tmp_path / "long.onnx", graph, metadata),
        tokens=str(tiny / "tokens.txt"),
        feature_dim=40,
        num_threads=1,
    )
    names = ["low", "mid", "high", "mid", "low", "high", "low"]
    for count in range(1, len(names) + 1):
        for host in (recognizer, with_frontend(recognizer, EnhancerConfig(strength=0))):
            assert SherpaRecognizer(host)(tone(names[:count], 16000), 16000).text == " ".join(names[:count])
            session = OnlineSession(host, host.create_stream(), 16000)
            session.accept_waveform(tone(names[:count], 16000))
            session.input_finished()
            assert decode(host, [session])[0][-1].text == " ".join(names[:count])


def test_no_signals(tones):
    assert SherpaRecognizer(tones).transcribe_many([], 16000) == []


def test_confidence_is_the_geometric_mean_of_probabilities():
    halves = [math.log(0.5), math.log(0.125)]
    assert confidence_of(SimpleNamespace(ys_probs=halves)) == pytest.approx(0.25)
    assert confidence_of(SimpleNamespace(ys_log_probs=halves)) == pytest.approx(0.25)
    assert confidence_of(SimpleNamespace(ys_probs=[0.0])) == 1
    assert confidence_of(SimpleNamespace(ys_probs=[1e-6])) == 1  # rounding in the host
    assert confidence_of(SimpleNamespace(ys_probs=[])) is None
    assert confidence_of(SimpleNamespace()) is None
