"""Detectors of any make behind one interface, and a light one that trains in minutes."""
