"""Scripts: flags to one library call each."""
