"""Packed data sets: a folder of rows that are read by index, whatever their number."""
