"""RANet: a cascade from coarse to fine that each image leaves as soon as it is classified with confidence."""
