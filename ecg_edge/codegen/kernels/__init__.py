"""How each kind of core wants a convolution's numbers: one file for each ecg_ops_<kernels>.h. Layer: codegen."""
