"""The method that learns from the log itself how far each kind of signal can be believed: answer patterns of items, hidden
classes, rates (docs/explanation/feedback.md)."""
