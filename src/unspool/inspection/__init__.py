"""Looking inside: what a trained model does with a text, and what a network costs."""
