"""Steps whose gradients are clipped for each example, and noised: DP-SGD.

Abadi et al. 2016, "Deep learning with differential privacy", algorithm 1.
"""
