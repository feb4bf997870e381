"""Audio primitives: sample types, validation, files, PCM, levels and resampling."""
