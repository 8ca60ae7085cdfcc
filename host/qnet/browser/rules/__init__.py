"""What happens to which site: rules, their one meaning, and where they come from. All pure but ``store``."""
