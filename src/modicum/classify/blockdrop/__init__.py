"""BlockDrop: a residual network that runs, for each image, the blocks that it needs."""
