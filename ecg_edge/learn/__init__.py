"""Training, quantization and evaluation; the one door to TensorFlow. Layer: learn; imports errors, signal, bundle."""
