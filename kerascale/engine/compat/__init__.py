"""Every private name of Keras and of TensorFlow, each guarded by a test."""
