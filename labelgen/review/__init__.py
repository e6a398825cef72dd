"""Human review: sampling, Label Studio and CoNLL files, and merging of the answers."""
