"""The whole chain: a WebSocket client, pipecat's transport with the filter, Silero VAD, and Whisper tiny.en."""

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

ROOT = Path(__file__).resolve().parents[3]
SPOKEN = {"bring", "two", "blue", "cups", "table"}


@pytest.fixture(scope="module")
def noisy():
    """Two sentences in noise, and a second of silence for the last word."""
    samples, rate = soundfile.read(ROOT / "examples/noisy.flac", dtype="int16")
    assert rate == 16_000
    return np.concatenate([samples, np.zeros(rate, np.int16)])


@pytest.fixture
def gtcrn_filter():
    from gtcrn_frontend.adapters.pipecat import GtcrnFilter

    return GtcrnFilter


def words(text):
    return set(re.findall(r"[a-z]+", text.lower()))


def test_text_and_voice_activity_with_and_without_the_filter(pipecat_call, gtcrn_filter, noisy, whisper_model):
    plain = asyncio.run(pipecat_call.call(noisy, 16_000, None, str(whisper_model)))
    enhanced = asyncio.run(pipecat_call.call(noisy, 16_000, gtcrn_filter(), str(whisper_model)))
    np.testing.assert_array_equal(plain.audio, noisy)
    assert len(enhanced.audio) == len(noisy)
    assert enhanced.audio[511:].astype(float).std() < noisy[:-511].astype(float).std()
    for call in (plain, enhanced):
        kinds = [event.kind for event in call.events if event.kind != "text"]
        assert kinds == ["start", "stop"] * call.starts
        assert call.starts >= 1
    assert len(SPOKEN & words(enhanced.text)) >= 4  # pipecat's Whisper samples where it is unsure: texts vary


def test_strength_0_is_the_input_delayed_for_the_whole_pipeline(pipecat_call, gtcrn_filter, noisy):
    call = asyncio.run(pipecat_call.call(noisy, 16_000, gtcrn_filter(strength=0)))
    np.testing.assert_array_equal(call.audio[511:], noisy[:-511])


def test_the_call_goes_on_where_the_engine_breaks(pipecat_call, gtcrn_filter, noisy, break_engine, log):
    break_engine()
    call = asyncio.run(pipecat_call.call(noisy, 16_000, gtcrn_filter()))
    np.testing.assert_array_equal(call.audio[511:], noisy[:-511])
    assert call.starts >= 1
    assert len([message for message in log if "the enhancer failed" in message]) == 1


def test_settings_travel_with_the_pipeline(pipecat_call, gtcrn_filter, frames, noisy):
    control = [frames.FilterUpdateSettingsFrame({"strength": 0.0}), frames.FilterEnableFrame(enable=True)]
    call = asyncio.run(pipecat_call.call(noisy, 16_000, gtcrn_filter(), control=control))
    np.testing.assert_array_equal(call.audio[511:], noisy[:-511])


def test_the_example_runs(whisper_model):
    command = [sys.executable, ROOT / "examples/pipecat_filter.py", ROOT / "examples/noisy.flac"]
    done = subprocess.run(
        [*command, "--whisper", whisper_model], capture_output=True, text=True, check=True, timeout=300
    )
    assert "speech starts" in done.stdout
    assert len(SPOKEN & words(done.stdout)) >= 4
