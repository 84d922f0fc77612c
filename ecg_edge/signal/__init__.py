"""From recordings and generators to int16 windows and the model's int8 input. Layer: signal; imports errors."""
