"""Restoring photographs: noise, JPEG artifacts, mosaics and small sizes undone."""
