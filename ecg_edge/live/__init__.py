"""Samples in, verdicts out, without end. Layer: live; composes signal, runtime, device and bundle."""
