"""Are the tiles of a run worth anything? Roads, looks, novelty and obedience, measured and shown.

`rsaug.downstream.evaluation.run` puts the measures together; each of them is in its own module.
"""
