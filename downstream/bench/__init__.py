"""The road benchmark: what synthetic imagery is worth to a road detector, beside real labels.

A sweep trains the same detectors with few and many labels, with and without synthetic tiles, and
compares them in pairs. See ``docs/bench.md`` for what is compared and why it can be trusted.
"""
