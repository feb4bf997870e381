"""Model weights: registry, checkpoint reading, validation, folding and packing for the engines."""
