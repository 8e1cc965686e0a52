"""Regression and classification by the smallest graph of neurons that meets a bound, found by pruning and growing."""
