"""Training of the networks: data, mixing, loss, recipe. Needs the extra `train`."""
