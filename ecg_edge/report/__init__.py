"""Metrics and how they are shown. Layer: report; imports errors."""
