"""Access control lists: users, what each may do, and who was refused what."""
