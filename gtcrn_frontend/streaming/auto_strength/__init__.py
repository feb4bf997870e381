"""`strength="auto"`: the strength of the enhancement, chosen hop by hop."""
