"""People in the loop: which dialogues they see, as what, and how their answers come back."""
