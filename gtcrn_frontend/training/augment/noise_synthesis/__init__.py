"""Generated noise."""
