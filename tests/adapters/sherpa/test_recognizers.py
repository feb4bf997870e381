"""Every class of sherpa-onnx that takes streams, wrapped and bare: the real ones, on the tiny models of conftest.py."""

import inspect
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import sherpa_onnx
import soundfile

from gtcrn_frontend import ConfigError, Enhancer, EnhancerConfig, ModelError
from gtcrn_frontend.adapters.sherpa import with_frontend

RATES = [16000, 48000]


def chunks(samples, rate, seed=0):
    """The samples in pieces of 1 sample to 0.2 s."""
    lengths = np.random.default_rng(seed).integers(1, rate // 5, 20 * len(samples) // rate + 20)
    cuts = np.cumsum(lengths)
    return np.split(samples, cuts[cuts < len(samples)])


def streamed(recognizer, stream, rate, samples, seed=0):
    """What an online recogniser or spotter said after each step of decoding."""
    said = []
    for chunk in [*chunks(samples, rate, seed), None]:
        if chunk is None:
            stream.input_finished()
        else:
            stream.accept_waveform(rate, chunk)
        while recognizer.is_ready(stream):
            recognizer.decode_stream(stream)
            said.append((recognizer.get_result(stream), recognizer.timestamps(stream)))
    return said


def transcribed(recognizer, stream, rate, samples):
    stream.accept_waveform(rate, samples)
    recognizer.decode_stream(stream)
    return stream.result.text, stream.result.timestamps


def embedded(extractor, stream, rate, samples):
    for chunk in chunks(samples, rate):
        stream.accept_waveform(rate, chunk)
    stream.input_finished()
    assert extractor.is_ready(stream)
    assert extractor.dim == 80
    return extractor.compute(stream)


def tagged(tagger, stream, rate, samples):
    stream.accept_waveform(rate, samples)
    return [(event.name, event.prob) for event in tagger.compute(s=stream, top_k=2)]


def identified(identifier, stream, rate, samples):
    stream.accept_waveform(rate, samples)
    return identifier.compute(stream)


HOSTS = {
    "online_tones": streamed,
    "keyword_spotter": streamed,
    "offline_tones": transcribed,
    "speaker_extractor": embedded,
    "tagger": tagged,
    "language_identifier": identified,
}


@pytest.fixture(params=HOSTS)
def host_and_use(request):
    """A real object of sherpa-onnx, and what a program does with it."""
    return request.getfixturevalue(request.param), HOSTS[request.param]


@pytest.fixture(scope="session")
def wrapped_online(online_tones):
    return with_frontend(online_tones, Enhancer(strength=0))


@pytest.fixture(scope="session")
def speech(audio_folder):
    """Synthetic speech, which the enhancer leaves in place, in noise, which it does not: 16 kHz, 2 s."""
    samples, _ = soundfile.read(audio_folder / "speech_b.flac", dtype="float32", frames=32000)
    return samples + np.random.default_rng(3).normal(0, 0.01, len(samples)).astype(np.float32)


class TestEveryClass:
    @pytest.mark.parametrize("rate", RATES)
    @pytest.mark.parametrize("off", ["strength", "bypass"])
    def test_switched_off_it_says_the_same_as_bare(self, host_and_use, tone, rate, off):
        host, use = host_and_use
        samples = tone(["low", "mid", None, "high", "low", None, None], rate)
        stream = with_frontend(host, Enhancer()).create_stream()
        setattr(stream, off, 0 if off == "strength" else True)
        said = use(with_frontend(host, EnhancerConfig()), stream, rate, samples)
        assert said == use(host, host.create_stream(), rate, samples)
        assert said != use(host, host.create_stream(), rate, tone(["mid", "high", None, None, None], rate))

    @pytest.mark.parametrize("rate", RATES)
    def test_it_says_what_enhanced_samples_make_it_say(self, host_and_use, speech, rate):
        host, use = host_and_use
        samples = np.repeat(speech, rate // 16000)
        recognizer = with_frontend(host, Enhancer())
        said = use(recognizer, recognizer.create_stream(), rate, samples)
        bare = use(host, host.create_stream(), rate, Enhancer(sample_rate=rate).enhance(samples))
        if use is tagged:
            assert [name for name, _ in said] == [name for name, _ in bare]
            said, bare = ([prob for _, prob in answer] for answer in (said, bare))
        if use in (tagged, embedded):
            assert said == pytest.approx(bare, rel=1e-3, abs=1e-3)
        else:
            assert said == bare


class TestStreamsAsArguments:
    @pytest.mark.parametrize("kind", ["online_tones", "keyword_spotter", "offline_tones"])
    @pytest.mark.parametrize("by_name", [False, True])
    def test_every_method_takes_them(self, request, tone, kind, by_name):
        """Whatever has a parameter for a stream, `s`, or for streams, `ss`, by the class's own signatures."""
        host = request.getfixturevalue(kind)
        recognizer = with_frontend(host, Enhancer(strength=0))
        samples = tone(["low", None, "mid", None, None], 16000)
        streams = [host.create_stream(), recognizer.create_stream()]
        for stream in streams:
            stream.accept_waveform(16000, samples)
        called = []
        for name, method in inspect.getmembers(type(host), inspect.isfunction):
            parameter = [*inspect.signature(method).parameters, None][1]
            if parameter in ("s", "ss"):
                arguments = [[stream] if parameter == "ss" else stream for stream in streams]
                said = [
                    getattr(each, name)(**{parameter: argument}) if by_name else getattr(each, name)(argument)
                    for each, argument in zip((host, recognizer), arguments, strict=True)
                ]
                texts = [getattr(each, "text", each) for each in said]  # some say it in an object
                assert texts[0] == texts[1]
                called.append(name)
        assert {"decode_stream", "decode_streams"} <= set(called)
        assert len(called) == {"online_tones": 14, "keyword_spotter": 7, "offline_tones": 2}[kind]

    @pytest.mark.parametrize("together", [list, tuple, set, iter, lambda streams: dict.fromkeys(streams).keys()])
    def test_in_whatever_sherpa_takes_streams_in(self, wrapped_online, tone, together):
        streams = [wrapped_online.create_stream() for _ in range(3)]
        for name, stream in zip(("low", "mid", "high"), streams, strict=True):
            stream.accept_waveform(16000, tone([name, None], 16000))
        wrapped_online.decode_streams(together(streams))
        assert [wrapped_online.get_result(stream) for stream in streams] == ["low", "mid", "high"]

    def test_together_with_bare_ones(self, online_tones, wrapped_online, tone):
        streams = [online_tones.create_stream(), wrapped_online.create_stream()]
        for name, stream in zip(("low", "mid"), streams, strict=True):
            stream.accept_waveform(16000, tone([name, None], 16000))
        wrapped_online.decode_streams(streams)
        wrapped_online.decode_stream(streams[0])
        assert [wrapped_online.get_result(stream) for stream in streams] == ["low", "mid"]


class TestCreateStream:
    def test_arguments_are_passed_on(self, keyword_spotter, tone):
        spotter = with_frontend(keyword_spotter, Enhancer(strength=0))
        samples = tone([None, "high", None, None], 16000)
        for stream in (spotter.create_stream("▁high @HIGH"), spotter.create_stream(keywords="▁high @HIGH")):
            assert "HIGH" in [keyword for keyword, _ in streamed(spotter, stream, 16000, samples)]
        assert not any(keyword for keyword, _ in streamed(spotter, spotter.create_stream(), 16000, samples))
        with pytest.raises(ValueError, match="Failed to encode keywords"):
            spotter.create_stream("▁nothing")
        with pytest.raises(TypeError):
            spotter.create_stream(hotwords="▁high")


class TestManyStreams:
    def test_interleaved_streams_do_not_disturb_each_other(self, online_tones, speech):
        recognizer = with_frontend(online_tones, Enhancer())
        signals = [speech, speech[::-1].copy(), speech[5000:], np.roll(speech, 9000)]
        alone = [streamed(recognizer, recognizer.create_stream(), 16000, signal)[-1] for signal in signals]
        streams = [recognizer.create_stream() for _ in signals]
        parts = [np.array_split(signal, 7 + i) for i, signal in enumerate(signals)]
        for turn in range(10):
            for stream, part in zip(streams, parts, strict=True):
                if turn < len(part):
                    stream.accept_waveform(16000, part[turn])
            while ready := [stream for stream in streams if recognizer.is_ready(stream)]:
                recognizer.decode_streams(ready)
        for stream in streams:
            stream.input_finished()
            while recognizer.is_ready(stream):
                recognizer.decode_stream(stream)
        assert [(recognizer.get_result(stream), recognizer.timestamps(stream)) for stream in streams] == alone
        assert len({text for text, _ in alone}) == len(alone)

    def test_batched_offline_streams_say_what_they_say_alone(self, offline_tones, speech):
        recognizer = with_frontend(offline_tones, Enhancer())
        signals = [speech, speech[8000:], speech[:20000]]
        alone = [transcribed(recognizer, recognizer.create_stream(), 16000, signal) for signal in signals]
        streams = [recognizer.create_stream() for _ in signals]
        for stream, signal in zip(streams, signals, strict=True):
            stream.accept_waveform(16000, signal)
        recognizer.decode_streams(streams)
        assert [(stream.result.text, stream.result.timestamps) for stream in streams] == alone

    def test_streams_of_different_rates(self, wrapped_online, tone):
        names = ["low", None, "high", None, None]
        streams = {rate: wrapped_online.create_stream() for rate in (8000, 16000, 44100, 48000)}
        said = {rate: streamed(wrapped_online, streams[rate], rate, tone(names, rate))[-1][0] for rate in streams}
        assert said == dict.fromkeys(streams, "low high")

    def test_threads_share_a_recognizer(self, online_tones, speech):
        recognizer = with_frontend(online_tones, Enhancer())
        signals = [speech, speech[::-1].copy(), speech[5000:], np.roll(speech, 9000)]
        alone = [streamed(recognizer, recognizer.create_stream(), 16000, signal) for signal in signals]
        said = [None] * len(signals)

        def work(i):
            said[i] = streamed(recognizer, recognizer.create_stream(), 16000, signals[i])

        threads = [threading.Thread(target=work, args=(i,)) for i in range(len(signals))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert said == alone


def utterances(recognizer, stream, rate, samples, seed=0):
    """Text and times of each utterance, as a program with endpoints collects them."""
    said = []
    for chunk in chunks(samples, rate, seed):
        stream.accept_waveform(rate, chunk)
        while recognizer.is_ready(stream):
            recognizer.decode_stream(stream)
        if recognizer.is_endpoint(stream):
            if text := recognizer.get_result(stream):
                begin = recognizer.start_time(stream)
                said.append((text, [begin + time for time in recognizer.timestamps(stream)]))
            recognizer.reset(stream)
    return said


class TestStreaming:
    def test_partial_results_appear_while_streaming(self, wrapped_online, tone):
        stream = wrapped_online.create_stream()
        seen = []
        for name in ("low", "mid", "high", None):
            stream.accept_waveform(16000, tone([name], 16000))
            while wrapped_online.is_ready(stream):
                wrapped_online.decode_stream(stream)
            seen.append(wrapped_online.get_result(stream))
        assert seen[0] == "low"
        assert seen[1:] == ["low mid", "low mid high", "low mid high"]

    @pytest.mark.parametrize("rate", RATES)
    def test_utterances_end_at_endpoints(self, endpoint_tones, tone, rate):
        pause = [None, None, None]
        samples = tone(["low", *pause, "mid", "high", *pause, "high", *pause], rate)
        recognizer = with_frontend(endpoint_tones, Enhancer(strength=0))
        said = utterances(recognizer, recognizer.create_stream(), rate, samples)
        assert [text for text, _ in said] == ["low", "mid high", "high"]
        times = [time for _, times in said for time in times]
        assert times == pytest.approx([0, 1.6, 2.0, 3.6], abs=0.1)  # of the audio, without the enhancer's delay
        assert said == utterances(endpoint_tones, endpoint_tones.create_stream(), rate, samples, seed=0)

    def test_an_endpoint_keeps_the_enhancers_state(self, endpoint_tones, speech):
        """After a reset the host gets what it would get had there been none: the audio goes on."""
        recognizer = with_frontend(endpoint_tones, Enhancer())
        stream = recognizer.create_stream()
        enhanced = endpoint_tones.create_stream()
        half = 16000
        stream.accept_waveform(16000, speech[:half])
        enhanced.accept_waveform(16000, Enhancer().enhance(speech))
        for _ in range(4):  # chunks of 0.16 s
            recognizer.decode_stream(stream)
            endpoint_tones.decode_stream(enhanced)
        recognizer.reset(stream)
        endpoint_tones.reset(enhanced)
        stream.accept_waveform(16000, speech[half:])
        stream.input_finished()
        enhanced.input_finished()
        frames = 130
        assert np.allclose(stream.get_frames(0, frames), enhanced.get_frames(0, frames), atol=0.01)

    def test_a_spotters_reset_keeps_it_too(self, keyword_spotter, tone):
        spotter = with_frontend(keyword_spotter, Enhancer(strength=0))
        stream = spotter.create_stream()
        found = []
        for name in ["low", "mid", None, "high", "low", "mid", None, None]:
            stream.accept_waveform(16000, tone([name], 16000))
            while spotter.is_ready(stream):
                spotter.decode_stream(stream)
                if keyword := spotter.get_result(stream):
                    found.append(keyword)
                    spotter.reset_stream(stream)
        assert found == ["LOW_MID", "LOW_MID"]


class TestTheWrappedObject:
    def test_all_else_is_the_hosts(self, online_tones, wrapped_online):
        assert wrapped_online.config is online_tones.config
        assert wrapped_online.recognizer is online_tones.recognizer
        assert wrapped_online.decode_stream.__doc__ == online_tones.decode_stream.__doc__
        with pytest.raises(AttributeError, match="no_such_thing"):
            wrapped_online.no_such_thing  # noqa: B018

    def test_the_host_stays_as_it_is(self, online_tones, wrapped_online):
        assert isinstance(online_tones.create_stream(), sherpa_onnx.OnlineStream)

    def test_it_says_what_it_is(self, wrapped_online):
        assert repr(wrapped_online).startswith("<OnlineRecognizer with <Enhancer gtcrn-asr")


class TestWithFrontend:
    @pytest.mark.parametrize(
        ("frontend", "said"),
        [
            ("gtcrn-asr", "expected an Enhancer or an EnhancerConfig, got str"),
            (Enhancer, "got the class Enhancer"),
            (None, "got NoneType"),
            (EnhancerConfig(channels=2), "got channels=2: set downmix=True"),
        ],
    )
    def test_other_frontends_are_refused(self, online_tones, frontend, said):
        with pytest.raises(ConfigError, match=said):
            with_frontend(online_tones, frontend)

    @pytest.mark.parametrize(
        ("host", "said"),
        [
            (sherpa_onnx.OnlineRecognizer, r"create_stream\(\), .*got the class OnlineRecognizer"),
            (None, "got NoneType"),
            (object(), "got object"),
        ],
    )
    def test_other_hosts_are_refused(self, host, said):
        with pytest.raises(ConfigError, match=said):
            with_frontend(host, EnhancerConfig())

    def test_one_is_enough(self, wrapped_online):
        with pytest.raises(ConfigError, match="got one that already has a front-end: <OnlineRecognizer with"):
            with_frontend(wrapped_online, Enhancer())

    def test_routes_are_for_detectors(self, online_tones):
        with pytest.raises(ConfigError, match="expected route='enhanced_to_both' for OnlineRecognizer, got 'raw_to_bo"):
            with_frontend(online_tones, Enhancer(), route="raw_to_both")
        with pytest.raises(ConfigError, match="did you mean 'raw_to_both'"):
            with_frontend(online_tones, Enhancer(), route="raw_to_bot")
        with pytest.raises(ConfigError, match="known are enhanced_to_both, "):
            with_frontend(online_tones, Enhancer(), route="x")

    def test_a_model_that_is_missing_is_found_out_at_once(self, online_tones):
        with pytest.raises(ModelError, match=r"none\.safetensors"):
            with_frontend(online_tones, EnhancerConfig(model="none.safetensors"))

    def test_without_sherpa_onnx_the_extra_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "sherpa_onnx", None)
        with pytest.raises(ImportError, match=r"pip install '[^']+\[sherpa\]'"):
            with_frontend(object(), EnhancerConfig())

    def test_importing_it_does_not_import_sherpa_onnx(self):
        program = (
            "import sys\nfrom gtcrn_frontend.adapters.sherpa import with_frontend\nprint('sherpa_onnx' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
        assert (done.stdout, done.stderr) == ("False\n", "")


@pytest.mark.parametrize("rate", RATES)
def test_the_example(tiny, tone, tmp_path, rate):
    soundfile.write(tmp_path / "tones.wav", tone(["low", None, "mid"], rate), rate)
    example = Path(__file__).parents[3] / "examples/sherpa_in_code.py"
    command = [sys.executable, example, tmp_path / "tones.wav", "--recognizer", tiny, "--strength", "0"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    bare, wrapped = done.stdout.removeprefix("bare:\n").split("with the front-end:\n")
    for lines in (bare.splitlines(), wrapped.splitlines()):
        assert [line.split(" s  ")[1] for line in lines] == ["low", "low mid"]
