"""What all studies together say about a change: contrasts from several homes, and their mean over
settings. Computes numbers alone; the words are in `report`.
"""
