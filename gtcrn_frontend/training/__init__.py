"""Training of the networks. Needs the extra `train`.

from gtcrn_frontend.training.config_file import load_config
from gtcrn_frontend.training.train_loop import train

result = train(load_config("config.yaml"))
"""
