"""One file a task: from a file of texts to a trained model and its figures."""
