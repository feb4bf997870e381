"""SpeechBrain recipes: a recogniser behind the front-end, joint training with it, GTCRN from random weights.

Each is run by `python -m` with the name of its `train` module, a hyperparameter file, and overrides.
"""
