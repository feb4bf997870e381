"""Microphone to headphones through the enhancer, in the callback of a sound card.

    python examples/duplex_sounddevice.py
    python examples/duplex_sounddevice.py --list
    python examples/duplex_sounddevice.py --sample-rate 48000 --strength 1

Needs the extra `[mic]`. Ends with Ctrl-C. The callback gets and gives blocks of one size: a `DuplexEnhancer` returns
as many samples as it gets. Use headphones: the loudspeaker would feed back into the microphone.
"""

import argparse
import sys

import sounddevice

from gtcrn_frontend import DuplexEnhancer, Enhancer


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--list", action="store_true", help="list the sound devices")
    parser.add_argument("--sample-rate", type=int, default=16_000)
    parser.add_argument("--strength", type=float, default=0.8)
    args = parser.parse_args()
    if args.list:
        print(sounddevice.query_devices())
        return

    duplex = DuplexEnhancer(Enhancer(sample_rate=args.sample_rate, strength=args.strength))
    print(f"delay of the enhancer: {duplex.delay_ms:.0f} ms", file=sys.stderr)

    def callback(indata, outdata, frames, time, status):
        if status:
            print(status, file=sys.stderr)
        outdata[:, 0] = duplex.process(indata[:, 0])

    with sounddevice.Stream(samplerate=args.sample_rate, channels=1, dtype="float32", callback=callback):
        try:
            while True:
                sounddevice.sleep(1000)
        except KeyboardInterrupt:
            pass


if __name__ == "__main__":
    main()
