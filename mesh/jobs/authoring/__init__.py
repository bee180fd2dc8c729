"""What a team writes: workflows, and what it says of their steps."""
