"""Which tiles of a run are worth training on: true to their masks, like real ones, no copies."""
