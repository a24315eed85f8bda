"""Commands that work on dumps without a server: minikv-check-rdb and minikv-rdb."""
