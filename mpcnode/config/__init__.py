"""What a daemon and an inquirer are told by files: read strictly, every mistake named with its place."""
