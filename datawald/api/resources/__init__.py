"""The resources, by who calls them: workers, people, monitors."""
