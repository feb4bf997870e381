"""Network graphs, weights and their cards, as package data; installed as `gtcrn_frontend.models`."""
