"""Signal quality: metrics against a clean reference, and DNSMOS without one."""
