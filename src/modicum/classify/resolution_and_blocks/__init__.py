"""A dynamic-resolution network over a backbone whose blocks can be dropped: both savings in one classifier."""
