"""The lab: readers of public corpora, recipes as data, a runner with dependency tracking, one long result form, and the renderer of the results pages."""
