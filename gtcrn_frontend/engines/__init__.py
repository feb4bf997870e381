"""Inference engines. `base.py` defines the interface, `loading.py` selects one."""
