"""Engines: what runs a network. `base.py` is the seam, `loading.py` chooses."""
