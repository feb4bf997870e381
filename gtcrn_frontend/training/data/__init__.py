"""Training data: recordings, the train/held-out split, the decoded-audio cache, and mixtures."""
