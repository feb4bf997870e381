"""The stages a sample passes through around the engine: small objects with push, flush, reset and state."""
