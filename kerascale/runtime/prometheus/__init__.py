"""What Prometheus sees of a training, and what it is watched by.

Importing this package needs no Prometheus client: who exports asks for it.
"""
