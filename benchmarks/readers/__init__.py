"""Readers of public corpora, one file for each; plug-ins of labelgen."""
