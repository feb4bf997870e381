"""The stream around an engine: framing, mixing, strength; small stages with push, flush, reset and state."""
