"""Zoom-in detection: a cheap look at the whole image, and full resolution only where it is expected to pay."""
