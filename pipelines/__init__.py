"""CRS-Diff on diffusers: networks, pipeline, training, and the weights of the default model.

Nothing here is imported with the package; take what is needed from its module.
"""
