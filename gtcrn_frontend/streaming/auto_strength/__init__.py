"""`strength="auto"`: signal-adaptive strength, updated every hop."""
