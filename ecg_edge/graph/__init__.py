"""From `.tflite` bytes to a checked graph, and the integer reference that runs it.

Layer: graph; imports errors and numpy, and `tflite` in `tflite.py` alone.
"""
