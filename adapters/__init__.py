"""Front-ends for speech toolkits, a package per host; installed as `gtcrn_frontend.adapters`."""
