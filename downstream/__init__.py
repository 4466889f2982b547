"""What synthetic tiles are worth downstream: road metrics, a road segmenter, consistency.

Nothing here is imported with the package; take what is needed from its module.
"""
