"""Provides what adaptive networks share: routes, their execution and price, and the knob that trades worth for cost."""
