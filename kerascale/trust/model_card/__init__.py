"""A model card in the Hugging Face format, whose numbers check themselves."""
