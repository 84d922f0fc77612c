// Stands for the header by which Arduino finds TensorFlow Lite Micro.
