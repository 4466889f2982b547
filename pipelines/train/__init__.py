"""Training of the autoencoder and of the generator, on tiles of one's own."""
