"""Network definitions in torch; nothing else lives here."""
