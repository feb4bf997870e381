"""A streaming program for sherpa-onnx, bare and with the front-end: one line differs, and what is recognised.

    python examples/sherpa_in_code.py examples/noisy_digits.flac
    python examples/sherpa_in_code.py examples/noisy_digits.flac --strength 0.8

Needs the extra `[sherpa]`. Without `--recognizer` it uses this project's small recogniser of the digits "zero" to
"nine"; put your own `OnlineRecognizer.from_...` in its place.
"""

import argparse
from pathlib import Path

import numpy as np
import sherpa_onnx
import soundfile

from gtcrn_frontend import EnhancerConfig
from gtcrn_frontend.adapters.sherpa import with_frontend

DIGITS = Path(__file__).resolve().parents[1] / "tests/assets/recognizers/digits-clean"
CHUNK_S = 0.1
TAIL_S = 0.5  # of silence, so that the last frames fill the recogniser's last chunk


def transcribe(recognizer, samples, sample_rate):
    """Returns the text of samples that arrive chunk by chunk; prints it whenever it has grown."""
    stream = recognizer.create_stream()
    text = ""
    samples = np.concatenate([samples, np.zeros(int(TAIL_S * sample_rate), np.float32)])
    chunk_length = int(CHUNK_S * sample_rate)
    for begin in range(0, len(samples), chunk_length):
        stream.accept_waveform(sample_rate, samples[begin : begin + chunk_length])
        if begin + chunk_length >= len(samples):
            stream.input_finished()
        while recognizer.is_ready(stream):
            recognizer.decode_stream(stream)
        if recognizer.get_result(stream) != text:
            text = recognizer.get_result(stream)
            print(f"  {(begin + chunk_length) / sample_rate:5.1f} s  {text}")
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="mono audio at any rate from 8,000 Hz")
    parser.add_argument("--recognizer", type=Path, default=DIGITS, help="folder with online.onnx and tokens.txt")
    parser.add_argument("--strength", type=float, default=0.8, help="0 (input unchanged) to 1 (full enhancement)")
    args = parser.parse_args()

    samples, sample_rate = soundfile.read(args.file, dtype="float32")
    recognizer = sherpa_onnx.OnlineRecognizer.from_zipformer2_ctc(
        tokens=str(args.recognizer / "tokens.txt"),
        model=str(args.recognizer / "online.onnx"),
        feature_dim=40,
    )
    print("bare:")
    transcribe(recognizer, samples, sample_rate)

    recognizer = with_frontend(recognizer, EnhancerConfig(strength=args.strength))  # this is the line
    print("with the front-end:")
    transcribe(recognizer, samples, sample_rate)


if __name__ == "__main__":
    main()
