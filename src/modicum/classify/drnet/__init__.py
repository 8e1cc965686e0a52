"""DRNet: a dynamic-resolution network that classifies each image at the resolution it needs."""
