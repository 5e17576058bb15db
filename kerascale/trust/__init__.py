"""Can it be trusted: gradients, attacks, privacy, explanations, audits, signatures.

Each file or folder answers one question about a model, and says what its answer does
not prove.
"""
