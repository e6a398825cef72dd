"""Readers of chat exports, of tables and JSON by a mapping, and of published corpora, one file each; `labelgen.data.reader.READERS` names them."""
