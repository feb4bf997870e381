"""GTCRN, or another network by name, trained from random weights on mixtures made on the fly."""
