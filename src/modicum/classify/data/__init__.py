"""Labelled images: reading, checking, splitting, preprocessing and batching, and the embedded sets."""
