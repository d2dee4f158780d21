"""The program's commands: they parse, call and print, and nothing else."""
