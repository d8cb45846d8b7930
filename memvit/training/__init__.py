"""Training: recipes, the optimizer and its schedule, one loop for every task, checkpoints that resume exactly."""
