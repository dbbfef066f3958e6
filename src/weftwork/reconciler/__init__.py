"""The loop for one target: observe, plan, apply, report."""
