"""What agents keep: states, histories, and the effects they have had."""
