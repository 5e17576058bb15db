"""Why did it say so: attributions, how much each of them is worth, and a page.

An attribution says how much each part of an example (a pixel, a word, a column) has
moved the answer away from the answer for a baseline that says nothing.
"""
