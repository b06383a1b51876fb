"""What a gradient does to the parameters: optimizers, schedules, device programming."""
