"""What the data of every task have in common: listing, checking, splitting, preprocessing, batching, comparing."""
