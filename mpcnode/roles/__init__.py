"""Who asks whom, in which order: one service per role; the world is reached through `ports` only."""
