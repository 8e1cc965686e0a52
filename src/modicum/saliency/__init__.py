"""Salient object detection: from a photograph to a map of what a viewer would single out."""
