"""What a wrapped stream hands to the real stream of sherpa-onnx, seen through the features that it computes."""

import copy

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from gtcrn_frontend import AudioFormatError, ConfigError, Enhancer, EnhancerConfig
from gtcrn_frontend.adapters.sherpa import with_frontend

RATES = [8000, 16000, 44100, 48000]


@pytest.fixture(scope="session")
def noisy(audio_folder):
    """Synthetic speech in white noise, by sample rate: 1.5 s."""
    samples, rate = soundfile.read(audio_folder / "speech_a.flac", dtype="float32", frames=24000)
    assert rate == 16000
    samples += np.random.default_rng(5).normal(0, 0.02, len(samples)).astype(np.float32)
    return {rate: samples if rate == 16000 else soxr.resample(samples, 16000, rate) for rate in RATES}


@pytest.fixture(scope="session")
def wrapped(online_tones):
    return with_frontend(online_tones, Enhancer())


@pytest.fixture(scope="session")
def wrapped_offline(offline_tones):
    return with_frontend(offline_tones, Enhancer())


def features(stream, seconds=1.4):
    """Frames of 10 ms, 40 log energies each; some are missing at the end, which sherpa-onnx's resampler holds back."""
    count = int(seconds * 100)
    return np.array(stream.get_frames(0, count)).reshape(count, 40)


def fed(stream, rate, samples, *, chunk=None):
    """The stream, with all samples and the end fed."""
    for begin in range(0, len(samples), chunk or len(samples)):
        stream.accept_waveform(rate, samples[begin : begin + (chunk or len(samples))])
    stream.input_finished()
    return stream


@pytest.mark.parametrize("rate", RATES)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_at_strength_0_the_host_gets_the_same_samples(online_tones, wrapped, noisy, rate, data):
    samples = noisy[rate]
    cuts = sorted(data.draw(st.lists(st.integers(0, len(samples)), max_size=8)))
    stream = wrapped.create_stream()
    stream.strength = 0
    for chunk in np.split(samples, cuts):
        stream.accept_waveform(rate, chunk)
    stream.input_finished()
    assert np.array_equal(features(stream), features(fed(online_tones.create_stream(), rate, samples)))


@pytest.mark.parametrize("rate", RATES)
def test_at_strength_1_the_host_gets_the_enhanced_samples(online_tones, wrapped, noisy, rate):
    got = features(fed(wrapped.create_stream(), rate, noisy[rate], chunk=777))
    enhanced = Enhancer(sample_rate=rate).enhance(noisy[rate])
    expected = features(fed(online_tones.create_stream(), rate, enhanced))
    assert np.allclose(got, expected, atol=0.01)
    assert not np.allclose(got, features(fed(online_tones.create_stream(), rate, noisy[rate])), atol=1)


def test_the_output_may_be_at_the_recognizers_rate(online_tones, noisy):
    config = EnhancerConfig(output_sample_rate=16000)
    stream = with_frontend(online_tones, config).create_stream()
    enhanced = Enhancer(sample_rate=48000, output_sample_rate=16000).enhance(noisy[48000])
    expected = features(fed(online_tones.create_stream(), 16000, enhanced))
    assert np.allclose(features(fed(stream, 48000, noisy[48000], chunk=999)), expected, atol=0.01)


@pytest.mark.parametrize("rate", RATES)
def test_enhanced_frames_are_at_the_place_of_the_raw_ones(online_tones, wrapped, noisy, rate):
    """The amplitude over time agrees best without a shift: timestamps stay those of the raw audio."""
    streams = online_tones.create_stream(), wrapped.create_stream()
    raw, enhanced = (np.exp(features(fed(stream, rate, noisy[rate])) / 2).sum(axis=1) for stream in streams)
    agreement = {shift: np.corrcoef(raw[5:-5], np.roll(enhanced, shift)[5:-5])[0, 1] for shift in range(-5, 6)}
    assert max(agreement, key=agreement.get) == 0


def test_samples_reach_the_host_while_they_come(wrapped):
    """All but the enhancer's lag, and that without any other call: readiness counts feature frames."""
    stream, enough = wrapped.create_stream(), 2840  # for 17 frames of 25 ms every 10 ms, the first around sample 80
    stream.accept_waveform(16000, np.zeros(enough - 1, np.float32))
    assert not wrapped.is_ready(stream)
    stream.accept_waveform(16000, np.zeros(1 + Enhancer().lag_samples, np.float32))
    assert wrapped.is_ready(stream)


@pytest.mark.parametrize("count", [2639, 2640])  # it takes so many for 17 frames when no more samples come
def test_the_end_brings_the_rest(online_tones, wrapped, count):
    streams = [fed(each.create_stream(), 16000, np.zeros(count, np.float32)) for each in (online_tones, wrapped)]
    assert [online_tones.is_ready(streams[0]), wrapped.is_ready(streams[1])] == [count == 2640] * 2


@pytest.mark.parametrize(
    "convert",
    [
        np.ndarray.tolist,
        np.float64,
        lambda samples: tuple(samples.tolist()),
        lambda samples: np.rint(samples * 32768).astype(np.int16),
        lambda samples: np.repeat(samples, 2)[::2],
    ],
    ids=["list", "float64", "tuple", "int16", "not contiguous"],
)
@pytest.mark.parametrize("strength", [0, 1])
def test_samples_of_other_types(online_tones, wrapped, noisy, convert, strength):
    streams = [wrapped.create_stream(), wrapped.create_stream()]
    for stream, samples in zip(streams, (convert(noisy[16000]), noisy[16000]), strict=True):
        stream.strength = strength
        fed(stream, 16000, samples, chunk=5000)
    assert np.allclose(*map(features, streams), atol=0.02 if strength == 0 else 0.05)


@pytest.mark.parametrize(
    ("rate", "samples", "said"),
    [
        (16000, np.zeros((100, 1), np.float32), r"mono samples of shape \(n,\), got shape \(100, 1\): pass chunk"),
        (16000, np.zeros((2, 100), np.float32), "mono samples"),
        (16000, np.zeros(100, np.int32), "float32, float64 or int16, got int32"),
        (16000, [1, 2, 3], "got int64"),
        (16000, np.full(100, 1000, np.float32), "divide by 32768"),
        (16000, np.array([0, np.nan], np.float32), "finite"),
        (16000, np.array([0, np.inf]), "finite"),
        (16000, b"\0\0", "got bytes"),
        (16000, None, "NoneType"),
        (44100, np.zeros(100, np.float32), "expected 16000 Hz as before in this stream, got 44100 Hz"),
        (16000.5, np.zeros(100, np.float32), "whole number of Hz, got 16000.5"),
        (0, np.zeros(100, np.float32), "whole number of Hz, got 0"),
        (-16000, np.zeros(100, np.float32), "whole number"),
        (float("nan"), np.zeros(100, np.float32), "whole number"),
        (None, np.zeros(100, np.float32), "whole number"),
        ("16000", np.zeros(100, np.float32), "whole number"),
        (np.zeros(100, np.float32), 16000, "whole number"),
    ],
)
def test_bad_input_is_a_clear_error_and_leaves_the_stream_unchanged(wrapped, noisy, rate, samples, said):
    stream, undisturbed = wrapped.create_stream(), wrapped.create_stream()
    for each in (stream, undisturbed):
        each.accept_waveform(16000, noisy[16000][:5000])
    with pytest.raises(AudioFormatError, match=said):
        stream.accept_waveform(rate, samples)
    for each in (stream, undisturbed):
        each.accept_waveform(16000, noisy[16000][5000:])
        each.input_finished()
    assert np.array_equal(features(stream), features(undisturbed))


@pytest.mark.parametrize("rate", [7999, 192001])
def test_rates_out_of_range(wrapped, rate):
    with pytest.raises(AudioFormatError, match=f"cannot enhance samples at {rate} Hz: sample_rate: expected a whole"):
        wrapped.create_stream().accept_waveform(rate, np.zeros(100, np.float32))


def test_refused_samples_do_not_settle_the_rate(wrapped, noisy):
    stream = wrapped.create_stream()
    with pytest.raises(AudioFormatError):
        stream.accept_waveform(48000, np.zeros((3, 3)))
    expected = features(fed(wrapped.create_stream(), 16000, noisy[16000]))
    assert np.array_equal(features(fed(stream, 16000, noisy[16000])), expected)


@pytest.mark.parametrize("rate", [16000.0, np.int32(16000), np.float32(16000)])
def test_rates_of_other_types(wrapped, noisy, rate):
    expected = features(fed(wrapped.create_stream(), 16000, noisy[16000]))
    assert np.array_equal(features(fed(wrapped.create_stream(), rate, noisy[16000])), expected)


def test_arguments_by_name_and_empty_chunks(wrapped, noisy):
    stream = wrapped.create_stream()
    stream.accept_waveform(sample_rate=16000, waveform=[])
    stream.accept_waveform(waveform=noisy[16000], sample_rate=16000)
    stream.accept_waveform(16000, np.empty(0, np.float32))
    stream.input_finished()
    assert np.array_equal(features(stream), features(fed(wrapped.create_stream(), 16000, noisy[16000])))


def test_after_the_end(wrapped, noisy):
    stream = fed(wrapped.create_stream(), 16000, noisy[16000])
    expected = features(stream)
    with pytest.raises(AudioFormatError, match=r"no more samples after input_finished\(\): create a new stream"):
        stream.accept_waveform(16000, noisy[16000])
    stream.input_finished()  # sherpa-onnx takes it, too
    assert np.array_equal(features(stream), expected)


def test_a_stream_without_samples_may_end(wrapped):
    stream = wrapped.create_stream()
    stream.input_finished()
    assert not wrapped.is_ready(stream)


def test_channels_are_averaged_where_the_settings_say_so(online_tones, wrapped, noisy):
    stereo = with_frontend(online_tones, EnhancerConfig(channels=2, downmix=True)).create_stream()
    both = np.stack([noisy[16000], noisy[16000]], axis=1)
    expected = features(fed(wrapped.create_stream(), 16000, noisy[16000]))
    assert np.allclose(features(fed(stereo, 16000, both)), expected, atol=0.01)


class TestStrengthAndBypass:
    def test_they_begin_as_the_settings_say(self, online_tones):
        stream = with_frontend(online_tones, EnhancerConfig(strength=0.7, bypass=True)).create_stream()
        assert (stream.strength, stream.bypass) == (0.7, True)
        stream = with_frontend(online_tones, EnhancerConfig(max_attenuation_db=20)).create_stream()
        assert stream.strength == pytest.approx(0.9)

    def test_they_begin_as_the_enhancer_is(self, online_tones):
        enhancer = Enhancer()
        wrapped = with_frontend(online_tones, enhancer)
        before = wrapped.create_stream()
        enhancer.strength, enhancer.bypass = 0.25, True
        after = wrapped.create_stream()
        assert (before.strength, before.bypass) == (0.8, False)
        assert (after.strength, after.bypass) == (0.25, True)

    def test_each_stream_has_its_own(self, wrapped, noisy):
        one, other = wrapped.create_stream(), wrapped.create_stream()
        one.strength, one.bypass = 0.5, True
        one.accept_waveform(48000, noisy[48000])  # and keeps them when it learns its rate
        assert (one.strength, one.bypass) == (0.5, True)
        assert (other.strength, other.bypass) == (0.8, False)

    def test_they_may_change_while_the_stream_runs(self, online_tones, wrapped, noisy):
        raw = features(fed(online_tones.create_stream(), 16000, noisy[16000]))
        enhanced = features(fed(wrapped.create_stream(), 16000, noisy[16000]))
        for name, on, off in (("bypass", False, True), ("strength", 0.8, 0)):
            stream = wrapped.create_stream()
            for chunk, value in zip(np.split(noisy[16000], 3), (on, off, on), strict=True):
                setattr(stream, name, value)
                stream.accept_waveform(16000, chunk)
            stream.input_finished()
            # At 0.5 s and 1 s; samples up to 32 ms before are still on their way then, and a hop is the ramp.
            got = features(stream)
            assert np.allclose(got[:44], enhanced[:44], atol=0.01)
            assert np.allclose(got[54:94], raw[54:94], atol=0.01)
            assert np.allclose(got[104:], enhanced[104:], atol=0.01)  # the network ran on all the while

    @pytest.mark.parametrize(("name", "value"), [("strength", 1.5), ("strength", "much"), ("bypass", 1)])
    def test_bad_values(self, wrapped, name, value):
        stream = wrapped.create_stream()
        with pytest.raises(ConfigError, match=name):
            setattr(stream, name, value)
        assert (stream.strength, stream.bypass) == (0.8, False)

    def test_a_misspelt_setting_is_no_new_attribute(self, wrapped):
        with pytest.raises(AttributeError):
            wrapped.create_stream().strenght = 0.5


class TestOffline:
    def test_it_takes_one_call(self, wrapped_offline, tone):
        stream = wrapped_offline.create_stream()
        stream.strength = 0
        stream.accept_waveform(16000, tone(["low", None], 16000))
        with pytest.raises(AudioFormatError, match=r"after accept_waveform\(\) of an offline stream, which takes all"):
            stream.accept_waveform(16000, tone(["high", None], 16000))
        wrapped_offline.decode_stream(stream)
        assert stream.result.text == "low"

    def test_a_refused_call_does_not_count(self, wrapped_offline, tone):
        stream = wrapped_offline.create_stream()
        stream.strength = 0
        with pytest.raises(AudioFormatError):
            stream.accept_waveform(48000, np.zeros((2, 2)))
        stream.accept_waveform(16000, tone(["low", None], 16000))
        wrapped_offline.decode_stream(stream)
        assert stream.result.text == "low"

    def test_no_samples_are_taken_as_sherpa_takes_them(self, wrapped_offline):
        stream = wrapped_offline.create_stream()
        stream.accept_waveform(16000, [])
        wrapped_offline.decode_stream(stream)
        assert stream.result.text == ""

    def test_it_has_no_end_to_tell(self, wrapped_offline):
        stream = wrapped_offline.create_stream()
        assert not hasattr(stream._stream, "input_finished")
        with pytest.raises(AttributeError):
            stream.input_finished()


def test_all_else_is_the_hosts(wrapped):
    stream = wrapped.create_stream()
    stream.set_option("language", "en")
    assert stream.has_option("language")
    assert stream.get_option("language") == "en"
    with pytest.raises(AttributeError):
        stream.no_such_thing  # noqa: B018


def test_it_says_what_it_is_and_cannot_be_copied(wrapped):
    stream = wrapped.create_stream()
    assert repr(stream).startswith("<OnlineFrontendStream of OnlineStream, <Enhancer gtcrn-asr")
    with pytest.raises(TypeError, match="pickle"):  # as the host's
        copy.deepcopy(stream)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("after", [0, 0.5])
def test_with_on_error_pass_the_host_gets_the_input_where_the_engine_fails(
    online_tones, noisy, rate, after, break_engine, caplog
):
    samples, cut = noisy[rate], int(after * rate)
    stream = with_frontend(online_tones, Enhancer(), on_error="pass").create_stream()
    stream.accept_waveform(rate, samples[:cut])
    delivered = len(Enhancer(sample_rate=rate).process_chunk(samples[:cut]))
    expected = np.concatenate([Enhancer(sample_rate=rate).enhance(samples[:cut])[:delivered], samples[delivered:]])
    assert not stream.failed
    break_engine()
    fed(stream, rate, samples[cut:], chunk=999)
    assert stream.failed
    assert np.allclose(features(stream), features(fed(online_tones.create_stream(), rate, expected)), atol=0.01)
    (record,) = caplog.records
    assert "the engine is broken" in str(record.exc_info[1])


def test_offline_streams_pass_the_input_as_well(offline_tones, noisy, break_engine):
    stream = with_frontend(offline_tones, Enhancer(), on_error="pass").create_stream()
    break_engine()
    stream.accept_waveform(16_000, noisy[16_000])
    bare = offline_tones.create_stream()
    bare.accept_waveform(16_000, noisy[16_000])
    offline_tones.decode_streams([stream._stream, bare])
    assert stream.failed
    assert stream.result.text == bare.result.text


def test_by_default_the_error_is_raised(wrapped, noisy, break_engine):
    stream = wrapped.create_stream()
    break_engine()
    with pytest.raises(RuntimeError, match="the engine is broken"):
        stream.accept_waveform(16_000, noisy[16_000])
    assert not stream.failed


def test_on_error_pass_keeps_invalid_samples_an_error(online_tones, noisy):
    stream = with_frontend(online_tones, Enhancer(), on_error="pass").create_stream()
    with pytest.raises(AudioFormatError):
        stream.accept_waveform(16_000, np.full(100, np.nan, np.float32))
    fed(stream, 16_000, noisy[16_000])
    assert not stream.failed


def test_on_error_is_checked(online_tones):
    with pytest.raises(ConfigError, match="expected on_error 'pass' or 'raise', got 'ignore'"):
        with_frontend(online_tones, Enhancer(), on_error="ignore")
    with pytest.raises(ConfigError, match="expected no output_sample_rate with on_error='pass', got 16000 Hz"):
        with_frontend(online_tones, EnhancerConfig(output_sample_rate=16_000), on_error="pass")
