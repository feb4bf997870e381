import dataclasses
import random
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import CutSet, Fbank, Recording, RecordingSet
from lhotse.augmentation import AudioTransform
from lhotse.cut import MixedCut, MonoCut, MultiCut
from lhotse.features.io import NumpyFilesWriter

from gtcrn_frontend import Enhancer
from gtcrn_frontend.adapters import whole_signals
from gtcrn_frontend.adapters.lhotse import Enhance, RandomEnhance, enhance
from gtcrn_frontend.engines import loading
from gtcrn_frontend.errors import AudioFormatError, ConfigError, ModelError


def by_hand(path: Path, strength: float = 0.8) -> np.ndarray:
    """What Lhotse should load: `(channels, n)` float32."""
    samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
    return np.stack([Enhancer(sample_rate=rate, strength=strength).enhance(channel) for channel in samples.T])


@pytest.mark.parametrize("name", ["a", "b", "c"])
def test_each_channel_at_any_rate_is_what_an_enhancer_makes_of_it(cuts: CutSet, folder: Path, name: str) -> None:
    expected = by_hand(folder / f"{name}.wav")
    for item in (cuts[name], cuts[name].recording):
        loaded = item.enhance().load_audio()
        assert loaded.dtype == np.float32
        np.testing.assert_array_equal(loaded, expected)
        assert not np.array_equal(item.load_audio(), expected), "the original is changed"


def test_ids_supervisions_and_durations(cuts: CutSet) -> None:
    for cut in cuts:
        enhanced = cut.enhance(0.5)
        assert enhanced.id == f"{cut.id}_enh0.5"
        assert enhanced.recording.id == f"{cut.recording.id}_enh0.5"
        assert enhanced.supervisions == cut.supervisions
        assert (enhanced.duration, enhanced.num_samples) == (cut.duration, cut.num_samples)
        assert cut.enhance(affix_id=False).id == cut.id
    assert cut.enhance("auto").id.endswith("_enhauto")
    assert cut.enhance(max_attenuation_db=12).id.endswith("_enh0.749")


def test_a_piece_is_enhanced_on_its_own_and_stays_aligned(cut: MonoCut, folder: Path) -> None:
    transform = Enhance()
    assert transform.reverse_timestamps(0.3, 0.25, 16000) == (0.3, 0.25)
    assert transform.reverse_timestamps(0.3, None, 16000) == (0.3, None)
    piece = cut.truncate(offset=0.25, duration=0.5)
    raw = soundfile.read(folder / "a.wav", dtype="float32")[0][4000:12000]
    np.testing.assert_array_equal(piece.enhance().load_audio()[0], Enhancer(strength=0.8).enhance(raw))
    np.testing.assert_array_equal(piece.enhance(0).load_audio()[0], raw)
    speech = raw - raw.mean()
    lags = np.correlate(piece.enhance(0.5).load_audio()[0], speech, "same")
    assert abs(int(lags.argmax()) - len(raw) // 2) <= 1


def test_transforms_before_and_after_it_apply_in_order(cut: MonoCut) -> None:
    before = cut.resample(8000).enhance(1.0)
    np.testing.assert_array_equal(
        before.load_audio()[0], Enhancer(sample_rate=8000, strength=1.0).enhance(cut.resample(8000).load_audio()[0])
    )
    after = cut.enhance(1.0).resample(8000)
    assert after.load_audio().shape == before.load_audio().shape
    assert [type(t).__name__ for t in after.recording.transforms] == ["Enhance", "Resample"]
    faster = cut.perturb_speed(1.1).enhance(1.0)
    assert faster.load_audio().shape == (1, faster.num_samples)
    expected = Enhancer(strength=1.0).enhance(cut.perturb_speed(1.1).load_audio()[0])
    np.testing.assert_array_equal(faster.load_audio()[0, :14000], expected[:14000])  # Lhotse adjusts the last samples


def test_a_mixture_is_enhanced_as_a_whole_or_track_by_track(cut: MonoCut, cuts: CutSet) -> None:
    noise = Recording.from_file(cut.recording.sources[0].source, recording_id="other").to_cut()
    mixed = cut.mix(noise, snr=5, offset_other_by=0.2)
    assert isinstance(mixed, MixedCut)
    whole = mixed.enhance(1.0)
    np.testing.assert_array_equal(whole.load_audio()[0], Enhancer(strength=1.0).enhance(mixed.load_audio()[0]))
    assert whole.id == f"{mixed.id}_enh1"
    assert [s.text for s in whole.supervisions] == ["one two"]
    tracks = mixed.enhance(1.0, mix_first=False)
    assert not tracks.transforms
    assert all(type(t.cut.recording.transforms[0]) is Enhance for t in tracks.tracks)
    np.testing.assert_allclose(whole.load_audio(), tracks.load_audio(), atol=0.2)
    padded = cut.pad(duration=1.5)
    assert padded.enhance().load_audio().shape == (1, 24000)
    assert padded.tracks[1].cut.enhance().id.endswith("_enh0.8")
    again = CutSet.from_dicts([whole.to_dict()])[0]
    np.testing.assert_array_equal(again.load_audio(), whole.load_audio())
    assert cuts.enhance(mix_first=False)[0].id == "a_enh0.8"


def test_sets_and_their_laziness(cuts: CutSet, tmp_path: Path) -> None:
    cuts.to_file(tmp_path / "cuts.jsonl.gz")
    lazy = CutSet.from_jsonl_lazy(tmp_path / "cuts.jsonl.gz").enhance(0.7)
    assert lazy.is_lazy
    assert [cut.id for cut in lazy] == ["a_enh0.7", "b_enh0.7", "c_enh0.7"]
    assert [type(cut) for cut in lazy] == [MonoCut, MonoCut, MultiCut]
    recordings = RecordingSet.from_recordings(cut.recording for cut in cuts).enhance(0.7)
    assert [recording.id for recording in recordings] == ["a_enh0.7", "b_enh0.7", "c_enh0.7"]
    both = cuts + cuts.enhance()
    assert len(both) == len({cut.id for cut in both}) == 6


def test_a_drawn_strength_depends_on_id_and_seed_only(cuts: CutSet) -> None:
    drawn = {cut.id: cut.recording.transforms[0].config.strength for cut in cuts.enhance((0.2, 0.6), affix_id=False)}
    turned = CutSet.from_cuts(list(cuts)[::-1]).enhance((0.2, 0.6), affix_id=False)
    assert drawn == {cut.id: cut.recording.transforms[0].config.strength for cut in turned}
    assert len(set(drawn.values())) == 3
    assert all(0.2 <= strength <= 0.6 for strength in drawn.values())
    other = cuts.enhance((0.2, 0.6), seed=1)
    assert {cut.recording.transforms[0].config.strength for cut in other}.isdisjoint(drawn.values())
    assert all(cut.id.endswith(f"_enh{cut.recording.transforms[0].config.strength:.3g}") for cut in other)
    many = [enhance(dataclasses.replace(cuts["a"], id=str(n)), (0.0, 1.0)) for n in range(300)]
    assert abs(np.mean([cut.recording.transforms[0].config.strength for cut in many]) - 0.5) < 0.06


def test_a_cut_transform_enhances_a_part(cut: MonoCut) -> None:
    batch = CutSet.from_cuts(dataclasses.replace(cut, id=str(n)) for n in range(200))
    transform = RandomEnhance(p=0.4, strength=(0.5, 1.0), randgen=random.Random(0), preserve_id=True)
    first, second = transform(batch), transform(batch)
    chosen = [[bool(c.recording.transforms) for c in result] for result in (first, second)]
    assert [c.id for c in first] == [c.id for c in batch]
    assert 50 < sum(chosen[0]) < 110
    assert chosen[0] != chosen[1], "each epoch draws anew"
    assert len(list(RandomEnhance(p=0)(batch))) == 200
    assert all(c.id.endswith("_enhauto") for c in RandomEnhance(p=1, strength="auto")(batch))
    with pytest.raises(ConfigError, match="p: expected a probability"):
        RandomEnhance(p=2)


@pytest.mark.parametrize("bounds", [(0.9, 0.5), (-0.1, 0.5), (0.5, 1.5)])
def test_a_range_of_strengths_is_checked_whatever_is_drawn(cut: MonoCut, bounds: tuple[float, float]) -> None:
    with pytest.raises(ConfigError, match="strength: expected a range within 0 to 1"):
        cut.enhance(strength=bounds)


def test_precomputed_features_are_dropped_with_a_warning(
    cut: MonoCut, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with NumpyFilesWriter(tmp_path) as storage:
        with_features = cut.compute_and_store_features(Fbank(), storage)
    enhanced = with_features.enhance()
    assert not enhanced.has_features and with_features.has_features
    assert "dropping precomputed features" in caplog.text
    with pytest.raises(ConfigError, match="features only"):
        with_features.drop_recording().enhance()


def test_settings_and_their_form_in_manifests() -> None:
    assert Enhance().to_dict() == {"name": "Enhance", "kwargs": {"model": "gtcrn-asr", "strength": 0.8}}
    settings = {"strength": "auto", "auto_strength": {"max_strength": 0.9}, "model": "gtcrn-dns3", "num_threads": 2}
    made = Enhance(**settings)
    again = AudioTransform.from_dict(made.to_dict())
    assert again == made and again is not made
    quieter = Enhance(max_attenuation_db=12)
    assert AudioTransform.from_dict(quieter.to_dict()) == quieter
    with pytest.raises(ConfigError, match="strength"):
        Enhance(strength=2)
    with pytest.raises(TypeError, match="stength"):
        Enhance(stength=1)
    with pytest.raises(TypeError, match="sample_rate"):
        Enhance(sample_rate=8000)
    with pytest.raises(ConfigError, match="expected a recording, a cut or a set"):
        enhance("cuts.jsonl")


def test_bad_audio_and_missing_models_are_named(cut: MonoCut) -> None:
    with pytest.raises(AudioFormatError, match="expected"):
        Enhance()(np.array([[np.nan]], np.float32), 16000)
    with pytest.raises(ConfigError, match="sample_rate"):
        Enhance()(np.zeros((1, 100), np.float32), 1000)
    with pytest.raises(ModelError, match="no-such-model"):
        Enhance(model="no-such-model")(np.zeros((1, 100), np.float32), 16000)
    assert Enhance()(np.zeros((0, 100), np.float32), 16000).shape == (0, 100)
    assert Enhance()(np.zeros((1, 0), np.float32), 16000).shape == (1, 0)


def test_one_model_per_process_whatever_rates_and_strengths(cuts: CutSet, monkeypatch: pytest.MonkeyPatch) -> None:
    whole_signals._enhancer.cache_clear()
    built = []
    build = loading._build
    monkeypatch.setattr(loading, "_build", lambda *args: built.append(args) or build(*args))
    monkeypatch.setattr(loading, "_loaded", type(loading._loaded)())
    for seed in range(15):
        for cut in cuts.enhance((0.1, 0.9), seed=seed):
            cut.load_audio()
    assert len(built) == 1
