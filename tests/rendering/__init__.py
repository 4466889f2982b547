"""The published CRS-Diff once more, in plain torch: the oracle of the tests on parity.

Written from a description of the model and from what is generally known of SD 1.5 and CLIP, without
a look at `rsaug.pipelines`: names, shapes and arithmetic are the published ones, speed is nobody's
aim. `widths` has the sizes, `released` the whole model, `sampling` its loop and `checkpoint` files
laid out like the published one.
"""
