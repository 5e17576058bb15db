"""A job on several hosts that goes on when one of them is lost, and takes it back.

On each host an agent starts the host's worker and looks after it. Agents tell each
other how they are through a folder that all hosts share, as they share the run folder.
There is no agent that the others could not do without.
"""
