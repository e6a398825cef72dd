"""What nobody labeled is made to teach: dialogues with a defect, or put together, so that what is right is known."""
