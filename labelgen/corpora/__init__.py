"""Readers of chat exports, CSV and published corpora, one file each; `labelgen.data.reader.READERS` names them."""
