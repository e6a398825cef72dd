"""Review: samples of a log, questions and answers of people and LLMs."""
