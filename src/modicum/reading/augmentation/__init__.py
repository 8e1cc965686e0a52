"""More passages for the same questions: paraphrases in which the answers are found again (Yu et al., 2018)."""
