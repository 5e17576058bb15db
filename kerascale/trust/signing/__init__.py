"""Is this the file that we trained: signatures of run folders and exports."""
