"""SpeechBrain recipes: a recogniser behind the front-end, the front-end trained with it, GTCRN from random weights.

Each is run by one command: `python -m` with the name of its `train` module, a file of hyperparameters and overrides.
"""
