"""A finetuning run: its settings, its data, its steps, the folder it lives in and how it goes on after a stop."""
