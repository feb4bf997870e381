#!/usr/bin/env bash
# Does a front-end help a recogniser, and with which setting? Needs the extras sherpa and
# calibrate: pip install '.[sherpa,calibrate]' in the checkout.
#
#     examples/calibrate.sh RECORDINGS NOISE
#
# RECORDINGS: a folder of recordings, each beside a .txt file with what is said in it (16 kHz, digits for this recogniser).
# NOISE: a folder of noise recordings, which are mixed in.
set -euo pipefail
here=$(dirname "${BASH_SOURCE[0]}")

# The recogniser of examples/pipeline.yaml. Instead of it: a SpeechBrain model's folder, module:function, or any command
# that prints the text of a wave file, such as 'whisper-cli -m base.bin -np -nt -f {}'.
gtcrn-frontend calibrate --recognizer "$here/pipeline.yaml" --manifest "$1" --noise "$2" --snr clean,10,5,0 \
  --write frontend.yaml --report report.html

# frontend.yaml fits below `frontend:` of the pipeline file, and `EnhancerConfig.from_yaml` reads it.
cat frontend.yaml
