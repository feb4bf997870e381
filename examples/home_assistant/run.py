"""Starts the Wyoming proxy with the options of the add-on; in other containers, with those of the environment."""

import json
import os
import sys
from pathlib import Path

OPTIONS = Path(os.environ.get("OPTIONS_FILE", "/data/options.json"))  # written by Home Assistant's supervisor


def main() -> None:
    options = json.loads(OPTIONS.read_text(encoding="utf-8")) if OPTIONS.is_file() else {}
    upstream = options.get("upstream") or os.environ.get("UPSTREAM")
    if not upstream:
        sys.exit("expected the address of a speech-to-text service: set UPSTREAM=tcp://HOST:PORT")
    strength = options.get("strength", os.environ.get("STRENGTH", "0.8"))
    uri = os.environ.get("URI", "tcp://0.0.0.0:10300")
    command = ["gtcrn-frontend", "wyoming", "--uri", uri, "--upstream", upstream, "--strength", str(strength)]
    os.execvp(command[0], command)


if __name__ == "__main__":
    main()
