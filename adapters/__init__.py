"""Integrations with speech toolkits, one package per host; installed as `gtcrn_frontend.adapters`."""
