"""How good is the enhanced signal: measures against a clean reference, and DNSMOS without one. No torch here."""
