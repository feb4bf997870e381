"""Speech recognition behind front-ends: errors of any recogniser, without and with them."""
