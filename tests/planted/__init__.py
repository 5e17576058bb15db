"""Faults that an engineer could make, planted one by one: the tests must see each."""
