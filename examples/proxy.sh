#!/usr/bin/env bash
# Enhancement in front of a running server: sherpa-onnx's C++ server, the proxy before it, and sherpa-onnx's C++ client.
#
#     examples/proxy.sh MODEL_FOLDER SPEECH.wav [STRENGTH]
#
# MODEL_FOLDER holds a streaming zipformer2 CTC model with 40 bands, online.onnx, and its tokens.txt, such as those in
# tests/assets/recognizers; SPEECH.wav is 16 kHz, mono, 16 bit. Prints what the recogniser has understood.
# Needs: pip install '.[proxy]' sherpa-onnx-bin, in the checkout
set -euo pipefail

model=$1 speech=$2 strength=${3:-1}
server_port=${SERVER_PORT:-6006} proxy_port=${PROXY_PORT:-6005}

started=()
trap '((${#started[@]} == 0)) || kill "${started[@]}" 2> /dev/null; wait' EXIT

wait_for_port() { # of the program started last
    until (: < "/dev/tcp/127.0.0.1/$1") 2> /dev/null; do
        kill -0 $! 2> /dev/null || { echo "what should listen on port $1 has ended" >&2 && exit 1; }
        sleep 0.1
    done
}

sherpa-onnx-online-websocket-server --port="$server_port" --feat-dim=40 --log-file=/dev/null \
    --tokens="$model/tokens.txt" --zipformer2-ctc-model="$model/online.onnx" > /dev/null 2>&1 &
started+=($!)
wait_for_port "$server_port"

gtcrn-frontend proxy --listen "127.0.0.1:$proxy_port" --upstream "ws://127.0.0.1:$server_port" --strength "$strength" &
started+=($!)
wait_for_port "$proxy_port"

# The client that spoke to port 6006 now speaks to port 6005; nothing else changes.
sherpa-onnx-online-websocket-client --server-port="$proxy_port" --samples-per-message=1600 --seconds-per-message=0.1 \
    "$speech" 2>&1 | python3 -c '
import json, re, sys
heard = {}  # the text of each utterance, the last that is not empty: silence behind it begins another one
for line in sys.stdin:
    for result in map(json.loads, re.findall(r"{.*}", line)):
        heard[result["segment"]] = result["text"] or heard.get(result["segment"], "")
print(*filter(None, heard.values()), sep="\n")'
