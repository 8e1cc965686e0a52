"""What all adaptive networks share: routes, their execution and price, and the knob that trades accuracy for cost."""
