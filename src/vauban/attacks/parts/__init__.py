"""Parts of attacks: steps, schedules, optimisers, searches; no attack is here."""
