"""A local server with the REST interface of TF Serving, on TensorFlow alone."""
