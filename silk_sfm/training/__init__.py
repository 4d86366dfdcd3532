"""Training of self-supervised methods from any folder of photos."""
