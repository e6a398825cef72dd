"""Readers of chat exports, of traces, and of tables and JSON by a mapping; `labelgen.data.reader.READERS` names them."""
