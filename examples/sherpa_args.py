r"""A program in the style of sherpa-onnx's own examples, with options for a front-end: three lines make the difference.

    python examples/sherpa_args.py \
      --tokens=tests/assets/recognizers/digits-clean/tokens.txt \
      --model=tests/assets/recognizers/digits-clean/online.onnx \
      --feature-dim=40 \
      --frontend-strength=0.8 \
      examples/noisy_digits.flac

Needs the extra `[sherpa]`. `--help` shows all options that begin with `--frontend-`.
"""

import argparse

import numpy as np
import sherpa_onnx
import soundfile

from gtcrn_frontend.adapters.sherpa import add_frontend_args, frontend_from_args, with_frontend

TAIL_S = 0.5  # of silence, so that the last frames fill the recogniser's last chunk


def get_args():
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--tokens", type=str, required=True, help="Path to tokens.txt")
    parser.add_argument("--model", type=str, required=True, help="Path to a streaming zipformer2 CTC model")
    parser.add_argument("--feature-dim", type=int, default=80, help="Bands of the features")
    parser.add_argument("--num-threads", type=int, default=1, help="Number of threads for neural network computation")
    parser.add_argument("sound_files", type=str, nargs="+", help="Mono audio at any rate from 8,000 Hz")
    add_frontend_args(parser)  # the first line
    return parser.parse_args()


def main():
    args = get_args()
    recognizer = sherpa_onnx.OnlineRecognizer.from_zipformer2_ctc(
        tokens=args.tokens,
        model=args.model,
        feature_dim=args.feature_dim,
        num_threads=args.num_threads,
    )
    recognizer = with_frontend(recognizer, frontend_from_args(args))  # the second; the third is their import

    streams = []
    for sound_file in args.sound_files:
        samples, sample_rate = soundfile.read(sound_file, dtype="float32")
        stream = recognizer.create_stream()
        stream.accept_waveform(sample_rate, samples)
        stream.accept_waveform(sample_rate, np.zeros(int(TAIL_S * sample_rate), np.float32))
        stream.input_finished()
        streams.append(stream)

    while ready := [stream for stream in streams if recognizer.is_ready(stream)]:
        recognizer.decode_streams(ready)

    for sound_file, stream in zip(args.sound_files, streams, strict=True):
        print(f"{sound_file}: {recognizer.get_result(stream)}")


if __name__ == "__main__":
    main()
