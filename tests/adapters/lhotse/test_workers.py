"""Manifests, jobs and storage: what happens in other processes than the one that wrote the manifest."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from lhotse import CutSet
from lhotse.dataset import SimpleCutSampler
from torch.utils.data import DataLoader, Dataset

from gtcrn_frontend.adapters import whole_signals
from gtcrn_frontend.install_hint import install_hint

FRESH = """
import sys
import numpy as np
if sys.argv[3] == "registered":
    import gtcrn_frontend.adapters.lhotse
from lhotse import CutSet

np.savez(sys.argv[2], **{cut.id: cut.load_audio() for cut in CutSet.from_file(sys.argv[1])})
"""

JOBS = """
from lhotse import CutSet
import gtcrn_frontend.adapters.lhotse
import sys

if __name__ == "__main__":
    cuts = CutSet.from_jsonl_lazy(sys.argv[1]).enhance()
    cuts.save_audios(sys.argv[2], format="flac", num_jobs=2, progress_bar=False).to_file(sys.argv[3])
"""


def fresh(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Runs a program in a new process."""
    path = Path(str(arguments[0])).parent / "program.py"
    path.write_text(code, encoding="utf-8")
    command = [sys.executable, str(path), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("suffix", ["jsonl.gz", "yaml"])
def test_a_manifest_gives_the_same_audio_in_a_fresh_process(cuts: CutSet, tmp_path: Path, suffix: str) -> None:
    enhanced = cuts.enhance((0.3, 1.0), auto_strength={"caution": 0.1})
    enhanced.to_file(tmp_path / f"cuts.{suffix}")
    done = fresh(FRESH, tmp_path / f"cuts.{suffix}", tmp_path / "audio.npz", "registered")
    assert done.returncode == 0, done.stderr
    loaded = np.load(tmp_path / "audio.npz")
    assert set(loaded) == {cut.id for cut in enhanced}
    for cut in enhanced:
        np.testing.assert_array_equal(loaded[cut.id], cut.load_audio())


def test_without_the_import_lhotse_says_what_it_does_not_know(cuts: CutSet, tmp_path: Path) -> None:
    cuts.enhance().to_file(tmp_path / "cuts.jsonl.gz")
    done = fresh(FRESH, tmp_path / "cuts.jsonl.gz", tmp_path / "audio.npz", "absent")
    assert done.returncode != 0
    assert "Unknown transform type: Enhance" in done.stderr


def test_save_audios_in_two_jobs(cuts: CutSet, tmp_path: Path) -> None:
    cuts.to_file(tmp_path / "cuts.jsonl")
    saved = tmp_path / "saved.jsonl.gz"
    done = fresh(JOBS, tmp_path / "cuts.jsonl", tmp_path / "audio", saved)
    assert done.returncode == 0, done.stderr
    enhanced = cuts.enhance()
    stored = {cut.id: cut for cut in CutSet.from_file(saved)}
    assert stored.keys() == {cut.id for cut in enhanced}
    for cut in enhanced:
        assert not stored[cut.id].recording.transforms
        assert stored[cut.id].supervisions == cut.supervisions
        np.testing.assert_allclose(stored[cut.id].load_audio(), cut.load_audio(), atol=2**-15)  # 16-bit FLAC


def test_shar_holds_the_enhanced_audio(cuts: CutSet, tmp_path: Path) -> None:
    enhanced = cuts.enhance(affix_id=False)
    (tmp_path / "shar").mkdir()
    enhanced.to_shar(tmp_path / "shar", fields={"recording": "wav"}, shard_size=2)
    stored = {cut.id: cut for cut in CutSet.from_shar(in_dir=tmp_path / "shar")}
    assert stored.keys() == {"a", "b", "c"}
    for cut in enhanced:
        assert not stored[cut.id].recording.transforms
        np.testing.assert_allclose(stored[cut.id].load_audio(), cut.load_audio(), atol=2**-15)


class _Loading(Dataset):
    def __getitem__(self, batch: CutSet) -> tuple[int, int, list[torch.Tensor]]:
        audio = [torch.from_numpy(cut.load_audio()) for cut in batch]
        return os.getpid(), whole_signals._enhancer.cache_info().misses, audio


def test_workers_of_a_data_loader_load_one_model_each(cuts: CutSet, folder: Path) -> None:
    enhanced = CutSet.from_cuts(replace(cuts["a"], id=f"a{n}") for n in range(8)).enhance()
    expected = torch.from_numpy(enhanced[0].load_audio())  # the model is in this process before the workers fork
    before = whole_signals._enhancer.cache_info().misses
    sampler = SimpleCutSampler(enhanced, max_cuts=1)
    loader = DataLoader(_Loading(), sampler=sampler, batch_size=None, num_workers=2)
    results = list(loader)
    assert len({process for process, _, _ in results}) == 2
    assert max(misses for _, misses, _ in results) == before + 1
    assert all(torch.equal(audio[0], expected) for _, _, audio in results)


def test_what_is_missing_is_named_with_the_extra() -> None:
    code = """if True:
        import sys
        class Absent:
            def find_spec(self, name, path=None, target=None):
                if name == "lhotse":
                    raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        sys.meta_path.insert(0, Absent())
        import gtcrn_frontend.adapters.lhotse
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert install_hint("lhotse") in done.stderr.splitlines()[-1]
