"""TensorFlow Lite runtimes behind one interface, a file each. Layer: runtime; imports errors, bundle."""
