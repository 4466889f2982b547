"""Road graphs: from masks and from lines, measured along their roads, and back to lines.

Nothing here is imported with the package; take what is needed from its module.
"""
