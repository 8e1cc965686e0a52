"""A cascade: sizes and exits of one pretrained network, or several networks; each image goes on until one is sure."""
