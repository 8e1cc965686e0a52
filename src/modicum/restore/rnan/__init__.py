"""RNAN: residual non-local attention networks."""
