"""GTCRN, trained from random weights on mixtures made on the fly."""
