"""What people write down of a project: rules and project files, what they mean, and what is different."""
