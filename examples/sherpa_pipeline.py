"""A program that knows nothing but a pipeline file: it prints what is heard while the audio arrives.

    python examples/sherpa_pipeline.py examples/noisy_digits.flac
    python examples/sherpa_pipeline.py examples/noisy_digits.flac --config my_pipeline.yaml

Needs the extra `[sherpa]`. `examples/pipeline.yaml` says what else a pipeline file may hold.
"""

import argparse
from pathlib import Path

import soundfile

from gtcrn_frontend.adapters.sherpa import load_pipeline

CHUNK_S = 0.1


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", help="mono audio at any rate from 8,000 Hz")
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("pipeline.yaml"))
    args = parser.parse_args()

    pipeline = load_pipeline(args.config)
    with soundfile.SoundFile(args.file) as audio:
        chunks = audio.blocks(int(CHUNK_S * audio.samplerate), dtype="float32")
        for segment in pipeline.stream(chunks, audio.samplerate):
            mark = "" if segment.is_final else " ..."
            print(f"{segment.start_s:6.2f} to {segment.end_s:6.2f} s: {segment.text}{mark}")


if __name__ == "__main__":
    main()
