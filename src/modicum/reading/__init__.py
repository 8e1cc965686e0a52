"""Reading comprehension: the span of a passage that answers a question."""
