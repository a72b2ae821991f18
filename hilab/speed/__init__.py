"""`hilab speed`: how fast everything is that decides how long a study takes, beside what others do."""
