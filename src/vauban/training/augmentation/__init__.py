"""Parts of recipes that change the samples, one file each."""
