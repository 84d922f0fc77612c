"""argv, stdout and exit codes: one file a verb. Layer: cli; nobody imports it."""
