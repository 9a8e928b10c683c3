"""One declaration per file: a canonical model, and how it travels.

Adding an entity is adding a file here and one mapping per agency that trades it.
"""
