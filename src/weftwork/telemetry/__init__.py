"""What is measured while we work, and how it is told to those who collect it."""
