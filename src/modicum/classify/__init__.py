"""Image classifiers that choose, for each image, how much to compute."""
