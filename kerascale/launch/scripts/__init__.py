"""Scripts for clusters that this project never ran on: written, and checked as text."""
