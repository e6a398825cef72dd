"""Self-supervised pretraining: corruptions of unlabeled dialogues with known targets."""
