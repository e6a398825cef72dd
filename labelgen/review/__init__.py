"""Human review: sampling, Label Studio, Argilla and CoNLL files, and merging of the answers."""
