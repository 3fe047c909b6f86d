"""Files, locks, signals, logs, devices and checkpoints."""
