"""The filter by itself, as a transport uses it."""

import asyncio
import subprocess
import sys

import numpy as np
import pytest

from gtcrn_frontend import ConfigError, Enhancer, EnhancerConfig, ModelError
from gtcrn_frontend.adapters.pipecat import __all__ as names
from gtcrn_frontend.install_hint import install_hint

RATES = (8_000, 16_000, 24_000, 44_100, 48_000)


@pytest.fixture
def gtcrn_filter():
    from gtcrn_frontend.adapters.pipecat import GtcrnFilter

    return GtcrnFilter


def noise(count):
    return np.random.default_rng(0).normal(0, 3_000, count).astype(np.int16)


async def filtered(audio_filter, samples, size):
    """Samples of started filter, frame by frame."""
    out = []
    for start in range(0, len(samples), size):
        frame = samples[start : start + size].tobytes()
        out.append(await audio_filter.filter(frame))
        assert len(out[-1]) == len(frame)
    return np.frombuffer(b"".join(out), np.int16)


def run(audio_filter, samples, rate, size, *control):
    async def whole():
        await audio_filter.start(rate)
        for frame in control:
            await audio_filter.process_frame(frame)
        delay = audio_filter.delay_samples
        out = await filtered(audio_filter, samples, size)
        failed = audio_filter.failed
        await audio_filter.stop()
        return out, delay, failed

    return asyncio.run(whole())


def test_the_name():
    assert names == ["GtcrnFilter"]


@pytest.mark.parametrize("milliseconds", [10, 20, 30, 50])
@pytest.mark.parametrize("rate", RATES)
def test_equal_frames_a_fixed_delay_later(gtcrn_filter, rate, milliseconds):
    samples, size = noise(rate), rate * milliseconds // 1000
    out, delay, _ = run(gtcrn_filter(), samples, rate, size)
    assert delay == Enhancer(sample_rate=rate).lag_samples
    assert not out[:delay].any()
    np.testing.assert_allclose(out[delay:], Enhancer(sample_rate=rate).enhance(samples)[:-delay], atol=1)
    exact, delay, _ = run(gtcrn_filter(strength=0), samples, rate, size)
    np.testing.assert_array_equal(exact[delay:], samples[:-delay])


def test_it_is_a_filter_of_pipecat(gtcrn_filter):
    from pipecat.audio.filters.base_audio_filter import BaseAudioFilter
    from pipecat.transports.base_transport import TransportParams

    audio_filter = gtcrn_filter(EnhancerConfig(strength=0.5))
    assert isinstance(audio_filter, BaseAudioFilter)
    assert TransportParams(audio_in_filter=audio_filter).audio_in_filter is audio_filter


def test_disabled_and_bypassed_audio_is_the_input_as_late(gtcrn_filter, frames):
    samples = noise(16_000)
    for control in (frames.FilterEnableFrame(enable=False), frames.FilterUpdateSettingsFrame({"bypass": True})):
        out, delay, _ = run(gtcrn_filter(), samples, 16_000, 320, control)
        np.testing.assert_array_equal(out[delay:], samples[:-delay])
    on = [frames.FilterUpdateSettingsFrame({"bypass": True}), frames.FilterEnableFrame(enable=True)]
    out, delay, _ = run(gtcrn_filter(), samples, 16_000, 320, *on)
    np.testing.assert_array_equal(out[delay:], samples[:-delay])
    off = frames.FilterUpdateSettingsFrame({"bypass": False})
    out, delay, _ = run(gtcrn_filter(bypass=True), samples, 16_000, 320, off)
    np.testing.assert_allclose(out[delay:], Enhancer().enhance(samples)[:-delay], atol=1)


def test_settings_change_during_a_call(gtcrn_filter, frames):
    samples = noise(32_000)

    async def call():
        audio_filter = gtcrn_filter(strength=0)
        await audio_filter.start(16_000)
        first = await filtered(audio_filter, samples, 320)
        await audio_filter.process_frame(frames.FilterUpdateSettingsFrame({"strength": 1.0}))
        return first, await filtered(audio_filter, samples, 320)

    first, second = asyncio.run(call())
    np.testing.assert_array_equal(first[511:], samples[:-511])
    assert np.std(second[8_000:].astype(float)) < 0.5 * np.std(samples.astype(float))


def test_auto_and_back(gtcrn_filter, frames):
    samples = noise(16_000)
    auto = frames.FilterUpdateSettingsFrame({"auto": True})
    fixed = frames.FilterUpdateSettingsFrame({"auto": False})
    out, delay, _ = run(gtcrn_filter(strength=0.5), samples, 16_000, 320, auto)
    np.testing.assert_allclose(out[delay:], Enhancer(strength="auto").enhance(samples)[:-delay], atol=1)
    out, delay, _ = run(gtcrn_filter(strength=0.5), samples, 16_000, 320, auto, fixed)
    np.testing.assert_allclose(out[delay:], Enhancer(strength=0.5).enhance(samples)[:-delay], atol=1)
    out, delay, _ = run(gtcrn_filter(strength="auto"), samples, 16_000, 320, fixed)
    np.testing.assert_allclose(out[delay:], Enhancer().enhance(samples)[:-delay], atol=1)


@pytest.mark.parametrize(
    "settings", [{"strength": 3}, {"strength": "loud"}, {"bypass": "yes"}, {"auto": 1}, {"volume": 1}]
)
def test_settings_that_do_not_fit_are_logged_and_change_nothing(gtcrn_filter, frames, log, settings):
    samples = noise(16_000)
    out, delay, failed = run(gtcrn_filter(), samples, 16_000, 320, frames.FilterUpdateSettingsFrame(settings))
    np.testing.assert_allclose(out[delay:], Enhancer().enhance(samples)[:-delay], atol=1)
    assert not failed
    assert len(log) == 1
    assert next(iter(settings)) in log[0]


def test_an_error_lets_the_audio_pass_and_is_logged_once(gtcrn_filter, break_engine, log):
    samples = noise(48_000)

    async def call():
        audio_filter = gtcrn_filter()
        await audio_filter.start(48_000)
        first = await filtered(audio_filter, samples[:24_000], 960)
        break_engine()
        second = await filtered(audio_filter, samples[24_000:], 960)
        assert audio_filter.failed
        return np.concatenate([first, second])[audio_filter.delay_samples :]

    out = asyncio.run(call())
    np.testing.assert_array_equal(out[24_000:], samples[24_000 : len(out)])
    assert len(log) == 1
    assert "the engine is broken" in log[0]


def test_a_rate_that_cannot_be_enhanced_passes(gtcrn_filter, log):
    samples = noise(4_000)
    out, delay, failed = run(gtcrn_filter(), samples, 4_000, 80)
    np.testing.assert_array_equal(out, samples)
    assert (delay, failed, len(log)) == (0, True, 1)


def test_halves_of_samples_wait(gtcrn_filter):
    samples = noise(1_600)

    async def call():
        audio_filter = gtcrn_filter(strength=0)
        await audio_filter.start(16_000)
        data = samples.tobytes()
        return b"".join([await audio_filter.filter(data[start : start + 321]) for start in range(0, len(data), 321)])

    out = np.frombuffer(asyncio.run(call()), np.int16)
    np.testing.assert_array_equal(out[511:], samples[:-511])


def test_before_start_and_after_stop_the_audio_passes(gtcrn_filter):
    samples = noise(1_600)

    async def call():
        audio_filter = gtcrn_filter()
        before = await audio_filter.filter(samples.tobytes())
        await audio_filter.start(16_000)
        await audio_filter.filter(samples.tobytes())
        await audio_filter.stop()
        return before, await audio_filter.filter(samples.tobytes())

    assert asyncio.run(call()) == (samples.tobytes(), samples.tobytes())


def test_wrong_settings_are_errors_where_the_pipeline_is_built(gtcrn_filter):
    with pytest.raises(ConfigError, match="strength"):
        gtcrn_filter(strength=2)
    with pytest.raises(TypeError, match="did you mean 'strength'"):
        gtcrn_filter(strenght=1)
    with pytest.raises(ConfigError, match="both"):
        gtcrn_filter(EnhancerConfig(), strength=1)
    with pytest.raises(ModelError):
        gtcrn_filter(model="nowhere.onnx")


def test_a_missing_package_is_named_with_its_extra():
    code = """if True:
        import sys
        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name == "pipecat":
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        sys.meta_path.insert(0, Absent())
        import gtcrn_frontend.adapters.pipecat as adapter
        try:
            adapter.GtcrnFilter
        except ImportError as error:
            print(error)
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert install_hint("pipecat") in done.stdout
