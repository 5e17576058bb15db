"""What any process has: the terminal, the environment of TensorFlow, signs of life."""
