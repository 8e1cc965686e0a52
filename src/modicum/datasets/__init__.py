"""Provides what data sets of every task share: listing, checking, splitting, preprocessing, batching, comparing."""
