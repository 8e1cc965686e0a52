"""Measures what networks cost: operations counted by kind, time, memory, and rows of such figures for benchmarks."""
