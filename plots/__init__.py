"""Pictures of schedules and of learning, drawn with Pillow; no host types."""
