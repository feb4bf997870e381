"""Room impulse responses, measured and simulated."""
