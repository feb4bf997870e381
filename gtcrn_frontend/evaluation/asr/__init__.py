"""Recognition errors with and without the front-end, and which setting to use."""
