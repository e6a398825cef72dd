"""labelgen turns the feedback in an assistant's logs into labels."""

__version__ = "0.1.0"
