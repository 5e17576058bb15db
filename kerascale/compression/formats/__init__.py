"""A model's weights and activations in fewer bits, in each runtime's own format."""
