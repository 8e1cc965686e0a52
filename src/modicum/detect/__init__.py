"""Object detection in large images: from a picture to the boxes, scores and classes of the objects in it."""
