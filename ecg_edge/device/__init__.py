"""A board at the other end of a serial URL. Layer: device; imports errors, bundle."""
