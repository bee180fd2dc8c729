"""What was done before, held against what is done now: replays, forks, comparisons."""
