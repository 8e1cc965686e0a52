"""QANet: reading comprehension with convolution and self-attention."""
