"""Recipe: trains GTCRN, or another network by name, from random weights on mixtures made on the fly."""
