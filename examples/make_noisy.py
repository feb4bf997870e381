"""Makes `examples/noisy*.flac` and the speech files under `tests/assets/audio/`: synthetic voices, generated noise.

    python examples/make_noisy.py

Needs the program espeak-ng (Debian and Ubuntu: `apt-get install espeak-ng`) and the Python packages numpy, soundfile
and soxr (extra `[test]`). The sentences are this project's own, the noise comes from a seeded generator, so every
file is free of third-party material and can be made again. Samples are 16 kHz mono, stored as 16-bit FLAC.

`tests/assets/audio/clean.flac` is the speech inside `examples/noisy.flac`, aligned to the sample and at the same level.
"""

import subprocess
import tempfile
from pathlib import Path

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

Samples = NDArray[np.float64]

ROOT = Path(__file__).resolve().parents[1]
SAMPLE_RATE_HZ = 16_000
SNR_DB = 3.0  # level of the speech without the pauses, against the noise
PAUSE_S = 0.4  # noise alone, before and after the speech
SPEECH_RMS = 0.06
SEED = 3

# file -> espeak-ng voice, words per minute, text
NOISY_SPEECH = (
    "en-us",
    150,
    "The kettle is boiling and the fan is running, but I can still hear you. Please bring two blue cups to the table.",
)
# A string of digits for the recogniser of digits: voice and digits are such that it understands them without noise.
NOISY_DIGITS = ("en-us+klatt4", 130, "six, one, five, three, zero, seven, eight")
TEST_SPEECH = {
    "tests/assets/audio/speech_a.flac": ("en-gb", 160, "Seven small boats left the harbour before the fog came in."),
    "tests/assets/audio/speech_b.flac": ("en-us+f3", 170, "Turn off the lamp in the hall, then call me back at noon."),
}


def speak(voice: str, words_per_minute: int, text: str) -> Samples:
    """Returns `text` spoken by espeak-ng: `(n,)`, 16 kHz, at the level `SPEECH_RMS`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        subprocess.run(["espeak-ng", "-v", voice, "-s", str(words_per_minute), "-w", str(path), text], check=True)
        samples, sample_rate_hz = soundfile.read(path)
    return at_rms(soxr.resample(samples, sample_rate_hz, SAMPLE_RATE_HZ), SPEECH_RMS)


def at_rms(samples: Samples, rms: float) -> Samples:
    """Returns `samples` scaled so that the root of their mean square is `rms`."""
    return np.asarray(samples * (rms / np.sqrt(np.mean(np.square(samples)))))


def make_noise(n_samples: int, rng: np.random.Generator) -> Samples:
    """Returns noise of a room with machines in it: `(n_samples,)`, at the level that gives `SNR_DB`.

    Three parts of equal power: pink noise; the same again through a slow random modulation, as of passing traffic
    (the part that a fixed filter cannot remove); hum of 100 Hz with harmonics that fall by 1/k, as of a motor.
    """
    steady = make_pink(n_samples, rng)
    control_points = rng.uniform(0.1, 1.0, 2 + 2 * n_samples // SAMPLE_RATE_HZ)  # two a second
    envelope = np.interp(np.linspace(0, len(control_points) - 1, n_samples), range(len(control_points)), control_points)
    modulated = make_pink(n_samples, rng) * envelope**2
    time_s = np.arange(n_samples) / SAMPLE_RATE_HZ
    harmonic = np.arange(1, 31)[:, None]
    hum = np.sum(np.sin(2 * np.pi * (100 * harmonic * time_s + rng.random(harmonic.shape))) / harmonic, axis=0)
    noise = at_rms(steady, 1) + at_rms(modulated, 1) + at_rms(hum, 1)
    return at_rms(noise, SPEECH_RMS * 10 ** (-SNR_DB / 20))


def make_pink(n_samples: int, rng: np.random.Generator) -> Samples:
    """Returns Gaussian noise whose power falls by 3 dB per octave above 50 Hz, `(n_samples,)`."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    frequency_hz = np.fft.rfftfreq(n_samples, 1 / SAMPLE_RATE_HZ)
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(frequency_hz, 50)), n_samples)


def write(path: Path, samples: Samples) -> None:
    """Writes 16-bit FLAC."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, samples, SAMPLE_RATE_HZ, subtype="PCM_16")
    print(f"{path.relative_to(ROOT)}: {len(samples) / SAMPLE_RATE_HZ:.1f} s, peak {np.abs(samples).max():.2f}")


def main() -> None:
    """Writes all files."""
    clean = np.pad(speak(*NOISY_SPEECH), int(PAUSE_S * SAMPLE_RATE_HZ))
    write(ROOT / "tests/assets/audio/clean.flac", clean)
    write(ROOT / "examples/noisy.flac", clean + make_noise(len(clean), np.random.default_rng(SEED)))
    digits = np.pad(speak(*NOISY_DIGITS), int(PAUSE_S * SAMPLE_RATE_HZ))
    write(ROOT / "examples/noisy_digits.flac", digits + make_noise(len(digits), np.random.default_rng(SEED)))
    for name, spoken in TEST_SPEECH.items():
        write(ROOT / name, speak(*spoken))


if __name__ == "__main__":
    main()
