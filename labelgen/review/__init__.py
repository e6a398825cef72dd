"""Human review: sampling, annotation errors, Label Studio, Argilla and CoNLL files, and merging of the answers."""
