"""What holds for all commands: the table, its checks and statistics, clients, arguments, blocking."""
