"""Jobs of Slurm: a script that goes on until its run is finished."""
