"""`make demo`: a consortium of eight daemons rates real applicants, and every answer is checked."""
