"""Images with masks of what is salient: finding, checking, splitting, transforming and batching, and drawn scenes."""
