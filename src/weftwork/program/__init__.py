"""What a target must hold, as comparable values."""
