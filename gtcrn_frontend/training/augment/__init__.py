"""Augmentation of training examples: effects, degradations, room impulse responses, synthetic noise."""
