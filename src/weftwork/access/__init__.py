"""Who may: principals, their roles in organisations and projects, what each call asks for, and how much."""
