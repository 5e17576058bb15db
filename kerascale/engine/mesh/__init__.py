"""The engine on a mesh of devices: Keras' JAX backend, one program for many steps."""
